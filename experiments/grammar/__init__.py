"""The grammar study."""
