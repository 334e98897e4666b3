"""How many steps and samples are usual, and what cannot be refined; known without TensorFlow."""

STEPS, MOST_STEPS = 5, 1000  # of Gauss and Newton, that refine a posterior
MOST_LATENTS = 64  # dimensions; a step decodes Z + 1 latents, and covariances are [B, Z, Z]
SCORE_SAMPLES = 8  # of the posterior of an image, over which its score is averaged
CANNOT_REFINE = (
    "This model cannot refine posteriors: it has no encoder, more than "
    f"{MOST_LATENTS} latents, a likelihood that does not say its information, or was exported by "
    "an older version (then export its run again)."
)
