"""How good a model is: likelihoods, by samples or exact."""
