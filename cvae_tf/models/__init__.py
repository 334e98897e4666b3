"""What is learned: families of models, their networks, their mathematics."""
