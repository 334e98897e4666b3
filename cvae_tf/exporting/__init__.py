"""What is written for those who use a model, and how it is loaded again."""
