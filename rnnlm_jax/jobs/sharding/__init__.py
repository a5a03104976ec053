"""One program over many devices: the mesh, placement and sharding of parameters, state and batches."""
