"""The subcommands of ``rnnlm-jax``, one a file."""
