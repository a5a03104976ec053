"""The experiments of Elman (1990), "Finding Structure in Time": temporal XOR, letters, word boundaries, sentences."""
