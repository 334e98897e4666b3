"""A convolutional variational autoencoder, from training to a SavedModel in use."""
