"""The variational autoencoder: model, objectives, likelihoods."""
