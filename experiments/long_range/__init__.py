"""Long-range dependencies in text: how far back networks and an n-gram model use what they have read."""
