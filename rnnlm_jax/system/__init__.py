"""The operating system: input files, files written whole, cache folders, locks, memory, progress bars."""
