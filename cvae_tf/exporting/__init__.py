"""How a model is written for its users, and loaded again."""
