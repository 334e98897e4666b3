"""How good a model is: likelihoods by samples and exactly."""
