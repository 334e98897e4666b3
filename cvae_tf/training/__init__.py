"""How a model is learned: the loop, the run directory, checkpoints, what is shown."""
