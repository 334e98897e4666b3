"""What a model in use makes, by mode."""
