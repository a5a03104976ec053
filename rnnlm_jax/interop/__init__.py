"""Models and weights of other libraries, and ours in theirs; each file imports at most one of them."""
