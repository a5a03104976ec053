"""How things are measured: compiled first, compared before they are timed, timed in turn."""
