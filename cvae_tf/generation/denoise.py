"""Noisy images over what the model makes of them."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from cvae_tf.core.randomness import Purpose, numpy_generator
from cvae_tf.data.given_images import Images
from cvae_tf.drawing import mosaics
from cvae_tf.generation.common import Generated, classes_of, posterior_of, some_images
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.base import GenerativeModel

_PROPOSAL_VALUES = 50_000_000  # pixels of the images that are tried to explain noisy ones
_LEAST_NOISE = 0.05  # share of flipped pixels that noisy images have at least

_NOTE = (
    "This model is one of grey levels. To explain noise, its images and the noisy ones were "
    "compared as black and white, because noise here means flipped pixels."
)


def make(model: GenerativeModel, settings: GenerationSettings, output: Path) -> Generated:
    """Explains noisy images; with `noise`, clean ones whose pixels are flipped first."""
    given = some_images(model, settings)
    clean = given.pixels
    chances = numpy_generator(settings.seed, Purpose.FLIPPED_PIXELS).random(clean.shape)
    noisy = np.where(chances < settings.noise, 1 - clean, clean)
    images = _explained(model, given._replace(pixels=noisy), settings)
    sets = [clean, noisy, images] if settings.noise else [noisy, images]
    path = mosaics.save_stacked(output / "denoised.png", sets)
    is_grey = model.metadata.get("config", {}).get("binarize") == "none"
    return Generated([path], {"noisy": noisy, "images": images}, (_NOTE,) if is_grey else ())


def _explained(model: GenerativeModel, given: Images, settings: GenerationSettings) -> np.ndarray:
    """Averages decoded images by the probability that a noisy image is theirs with pixels flipped.

    The encoder has never seen noise; latents from the prior are tried beside what it proposes.
    Whatever the likelihood, pixels are compared as black and white, because that is what a flip is.
    """
    num_pixels = int(np.prod(model.image_shape))
    num_proposals = int(np.clip(_PROPOSAL_VALUES // num_pixels, 256, 4096))
    random = numpy_generator(settings.seed, Purpose.DENOISING_PROPOSALS)
    prior = random.standard_normal((num_proposals, model.latent_dim))
    latents = np.concatenate([prior, posterior_of(model, given, settings).mean])
    noisy, labels = given.pixels, classes_of(model, given)
    if labels is not None:  # of what is drawn from the prior all classes
        labels = np.concatenate([model.labels_in_turn(num_proposals), labels])
    decoded = model.decode(latents, labels)
    flat = decoded.reshape(-1, num_pixels)
    rate = max(settings.noise, _LEAST_NOISE)
    white = rate + (1 - 2 * rate) * flat
    pixels = (noisy > 0.5).reshape(-1, num_pixels).astype(np.float32)
    log_likelihood = pixels @ np.log(white).T + (1 - pixels) @ np.log(1 - white).T
    weights = tf.nn.softmax(log_likelihood, axis=1).numpy()
    return (weights @ flat).reshape(noisy.shape)
