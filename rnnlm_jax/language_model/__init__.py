"""Recurrent language models: input layer, cells and output layer; loss, generation, FLOPs."""
