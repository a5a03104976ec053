"""How candidates are measured: compiled first, compared with each other, then timed in turn."""
