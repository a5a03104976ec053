"""Every cell as a language model of the same size, with one recipe: perplexity, speed, and how far back it looks."""
