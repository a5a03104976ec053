"""Studies: each folder has its question, its command, the published figures beside ours, and its results."""
