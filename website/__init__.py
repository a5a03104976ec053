"""The documentation site: its navigation, its pages, and the command ``python -m website`` that builds it."""
