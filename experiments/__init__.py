"""Studies: each folder has a README with the question, the commands and the figures, and its recorded results."""
