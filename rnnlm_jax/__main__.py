"""``python -m rnnlm_jax`` is the command ``rnnlm-jax``."""

from rnnlm_jax.cli.main import run

if __name__ == "__main__":
    run()
