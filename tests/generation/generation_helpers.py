"""Models that need no training: what they make shows the latents, and the labels, by its pixels."""

import numpy as np
import tensorflow as tf

from cvae_tf.generation import modes
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.posterior import FullPosterior, Posterior

LABELS = np.array([0, 1, 0, 1, 0, 0])


# The left half lit (label 0) or the right half (label 1), more and more brightly.
IMAGES = np.full((6, 8, 8, 1), 60, np.uint8)
for number, label in enumerate(LABELS):
    IMAGES[number, :, 4 * label : 4 * label + 4] = 140 + 20 * number


def logits(halves):
    halves = np.clip(halves, 0.002, 0.998)
    return np.log(halves / (1 - halves))


def halves_of(images):
    """The left and the right pixel of each image, [..., 2]."""
    return images[..., 0, [0, 7], 0]


class HalvesModel:
    """Images of 8 x 8 pixels whose left and right halves are as bright as the two latents."""

    latent_dim, image_shape = 2, (8, 8, 1)
    metadata = {}
    abilities = ("sample", "decode", "encode", "reconstruct", "score", "refine")
    pixels = Pixels()
    main_score = pixels.terms["elbo"]
    num_classes, class_names = 0, ()
    factor = np.array([[0.3, 0], [0.2, 0.1]], np.float32)  # of refined posteriors

    def parameters(self, latents, labels=None):
        halves = np.asarray(latents, np.float32)
        return np.repeat(halves, 4, axis=1)[:, None, :, None].repeat(8, axis=1)

    def decode(self, latents, labels=None):
        return 1 / (1 + np.exp(-self.parameters(latents)))

    def sample_latents(self, num, key):
        return tf.random.stateless_normal([num, 2], key)

    def sample(self, num, seed, labels=None):
        return self.decode(np.random.default_rng(seed).standard_normal((num, 2)))

    def sample_in_parts(self, num, seed, labels=None):
        yield from np.split(self.sample(num, seed), [num // 2])

    def encode(self, images, labels=None):
        mean = logits(halves_of(images)).astype(np.float32)
        return Posterior(mean, np.full_like(mean, -4.0))

    def refine(self, images, labels=None, steps=5):
        """Each step moves the mean by a tenth, and the score by ten: see `refined_scores`."""
        mean = self.encode(images).mean + np.float32(steps / 10)
        return FullPosterior(mean, np.tile(self.factor, (len(images), 1, 1)))

    def reconstruct(self, images, labels=None):
        return self.decode(self.encode(images).mean)

    def mean_scores(self, images, seed=0, num_samples=8, labels=None):
        elbo = -images.sum((1, 2, 3)) - 1 + 0.001 * num_samples
        return {"elbo": elbo, "log_likelihood": elbo + 1}

    def score(self, images, seed, labels=None):
        return self.mean_scores(images, seed, 1)

    def p_values(self, scores, kind="elbo"):
        return None


class Drawer(HalvesModel):
    """A conditional model: the upper half is the first latent, the lower half the label / 10."""

    num_classes, class_names = 3, ("ant", "bee", "cat")

    def decode(self, latents, labels):
        images = np.zeros((len(latents), 8, 8, 1), np.float32)
        images[:, :4] = np.clip(np.asarray(latents, np.float32)[:, :1, None, None], 0, 1)
        images[:, 4:] = np.asarray(labels, np.float32)[:, None, None, None] / 10
        return images

    def labels_in_turn(self, num):
        return np.arange(num) % 3

    def sample(self, num, seed, labels=None):
        latents = np.random.default_rng(seed).uniform(size=(num, 2))
        return self.decode(latents, self.labels_in_turn(num) if labels is None else labels)

    def encode(self, images, labels):
        assert len(labels) == len(images)
        mean = np.stack([images[:, 0, 0, 0], np.asarray(labels, np.float32)], axis=1)
        return Posterior(mean, np.full_like(mean, -100.0))

    def reconstruct(self, images, labels):
        return self.decode(self.encode(images, labels).mean, labels)

    def mean_scores(self, images, seed, num_samples=8, labels=None):
        return {"elbo": -10.0 * labels - images[:, 0, 0, 0]}


def refined_scores(model, images, seed=0, labels=None, steps=5, num_samples=8):
    """As that of `inference.anomalies`, which calls a signature."""
    found = model.mean_scores(images, seed, num_samples, labels)
    return {name: scores + 10 * steps for name, scores in found.items()}


def make(model, mode, output, **settings):
    chosen = modes.choose(mode, **settings)
    return modes.generate(model, mode, chosen, output)
