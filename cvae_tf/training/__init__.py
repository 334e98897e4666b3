"""How a model is trained: the loop, the run directory, checkpoints, what is shown."""
