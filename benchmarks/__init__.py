"""What there is to time: cells over time, and whole training steps."""
