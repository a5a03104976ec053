"""The operating system: input files, atomic writing, the cache folder, file locks, memory, progress bars."""
