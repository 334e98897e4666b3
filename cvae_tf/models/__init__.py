"""What is learned: networks, layers, and the families of models."""
