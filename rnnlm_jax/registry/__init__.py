"""Factories by name: cached, registered, or loaded from a user's file."""
