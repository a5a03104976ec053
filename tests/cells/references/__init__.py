"""References of cells by family, see ``tests/cells/reference.py``."""
