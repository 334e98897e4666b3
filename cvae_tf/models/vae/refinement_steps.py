"""How many steps refine a posterior, and where that is done; known without TensorFlow."""

DEFAULT, MOST = 5, 1000
MOST_LATENTS = 64  # dimensions; a step decodes Z + 1 latents, and covariances are [B, Z, Z]
