"""Vanishing gradients in feed-forward networks of depth 1 to 100: plain, residual and highway."""
