"""What a training job needs around training: run folders, checkpoints, signals, devices and processes."""
