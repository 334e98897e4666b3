"""What is inferred of images by a trained model."""
