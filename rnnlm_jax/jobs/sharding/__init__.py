"""One program over many devices: the mesh, who holds what on it, the division of a batch, several processes."""
