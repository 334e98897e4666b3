"""What a trained model says about images."""
