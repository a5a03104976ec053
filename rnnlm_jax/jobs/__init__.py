"""What a training job needs around training: run folder, checkpoints, signals, devices, processes, compilation."""
