"""How usual images are to a model: scores compared with those of held-out images.

Any likelihood is high for simple images and low for complex ones, whatever the model learned (Serra
et al., "Input complexity and out-of-distribution detection with likelihood-based generative
models", 2020). So a score is compared with those of usual images of the same complexity. A model
that recognises only a part of an image reconstructs a simpler one. So images are compared twice, by
their complexity and by that of their reconstruction, and the lower result counts.

A heat map shows where an image is unusual: where it differs more from its reconstruction than usual
images do at that place, even if the reconstruction is shifted by a pixel.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key, uniform_of_images

SCORE_SAMPLES = 8  # of each posterior, over which the ELBO is averaged
MOST_SCORES = 2000  # of held-out images
_DEGREE, _DIGITS = 2, 5  # of the trend; in which logarithms differ by more than rounding
TRENDS_SHAPE = (2, _DEGREE + 3)  # for each complexity the coefficients, and where they hold
_USUAL_DEVIATIONS = 2  # from the mean, below which nothing is hot
_REACH = 1  # pixels by which a reconstruction may be moved
_BLUR = np.exp(-0.5 * np.arange(-3, 4) ** 2)  # a Gaussian, with a deviation of one pixel


class Anomaly(NamedTuple):
    """How usual images are."""

    score: tf.Tensor | np.ndarray  # [B], nats above usual images as complex; low: unusual
    p_value: tf.Tensor | np.ndarray  # [B] in (0, 1], the share of usual images that score as low
    heat_map: tf.Tensor | np.ndarray | None = None  # [B, H, W], nats: where it is unusual; else 0
    is_anomalous: tf.Tensor | np.ndarray | None = None  # bool [B], at the rate of false alarms


class Scores(NamedTuple):
    """Scores of N images; usual images have high scores."""

    values: np.ndarray  # [N]
    measure: Any  # a `Measure`
    p_values: np.ndarray | None = None  # [N], of relative scores
    heat_maps: np.ndarray | None = None  # [N, H, W], as `Anomaly` has them


def scores_of(model: Any, images: Any, labels: Any = None, kind: str | None = None) -> Scores:
    """Scores images [N, H, W, C].

    Args:
        model: a trained one, of any family.
        images: as `encode` takes them.
        labels: of a conditional model.
        kind: "relative", that of `anomaly`, or "elbo", the main score, means over some posterior
            samples; by default the first one that the model has.

    Raises:
        UserError: if the model does not know such scores.
    """
    main = model.main_score
    if kind and "elbo" not in main.name:
        raise UserError(f"--score={kind}: this model's score is its {main.title}.")
    if kind == "elbo" or (kind is None and "anomaly" not in model.abilities):
        return Scores(model.mean_scores(images, labels=labels)[main.name], main)
    if "anomaly" not in model.abilities:
        raise UserError(
            "--score=relative: this model knows no scores of usual images; a VAE does once its run "
            "is finished (train.py --resume)."
        )
    # Nothing is marked here: this rate avoids the warning that few images were held out.
    found = model.anomaly(images, labels, false_alarms=model.smallest_p_value)
    title = f"relative {main.title}"
    return Scores(found.score, main._replace(title=title), found.p_value, found.heat_map)


def elbos_and_complexities(
    model: Any, grey: tf.Tensor, labels: tf.Tensor | None, unrolled: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Measures ELBO and complexities of grey levels in [0, 1], float32 [B, H, W, C].

    All images get the same noise, so that an image's result depends only on the image.

    Args:
        model: a VAE.
        grey: the images.
        labels: of a conditional model, [B].
        unrolled: without a loop in the graph, as ONNX needs it; tracing takes longer.

    Returns:
        The mean ELBO by `SCORE_SAMPLES` samples of each posterior, [B], nats; and the
        complexities of images and their reconstructions, [B, 2].
    """
    with tf.init_scope():  # noise as numbers: other runtimes cannot draw it
        key = derived_key(model.seed, Purpose.HELD_OUT_SCORES)
        keys = [tf.random.fold_in(key, number) for number in range(2 * SCORE_SAMPLES)]
        values, shape = math.prod(model.image_shape), [1, model.latent_dim]
        chances = np.stack([uniform_of_images(each, 0, 1, values) for each in keys[::2]])
        noises = np.stack([tf.random.stateless_normal(shape, each) for each in keys[1::2]])
    pixels = model.pixels.binarize_mode(grey)
    likeliest = model.encode(pixels, labels)

    def add_sample(number: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        own, posterior = pixels, likeliest
        if model.pixels.binarization.is_drawn:
            chance = tf.reshape(tf.gather(chances, number), [1, *model.image_shape])
            own = model.pixels.binarize_by(grey, chance)
            posterior = model.encode(own, labels)
        noise = tf.tile(tf.gather(noises, number), [tf.shape(grey)[0], 1])
        terms, _ = model.terms_with_noise(own, posterior, noise, labels=labels)
        return number + 1, total + terms.elbo

    state = 0, tf.zeros(tf.shape(grey)[:1])
    if unrolled:
        for _ in range(SCORE_SAMPLES):
            state = add_sample(*state)
    else:  # one after another, for the memory
        is_left = lambda number, _: number < SCORE_SAMPLES  # noqa: E731
        state = tf.while_loop(is_left, add_sample, state, parallel_iterations=1)
    known = complexities(pixels, model.decode(likeliest.mean, labels))
    return state[1] / SCORE_SAMPLES, known


def compare_with_held_out(
    model: Any, grey: tf.Tensor, labels: tf.Tensor | None, unrolled: bool = False
) -> Anomaly:
    """Compares images with the held-out ones that a model knows; arguments as above."""
    measured = elbos_and_complexities(model, grey, labels, unrolled)
    found = model.held_out_scores.compare(*measured)
    if not model.usual_heat.is_known:
        return found
    return found._replace(heat_map=model.usual_heat.above(surprises(model, grey, labels)))


class HeldOutScores(tf.Module):
    """Relative scores of held-out images, sorted; +inf in empty places."""

    effect_if_missing = "the model cannot tell anomalies"

    def __init__(self):
        """Makes empty places for scores."""
        super().__init__(name="held_out_scores")
        scores, trends = np.full(MOST_SCORES, np.inf, np.float32), np.zeros(TRENDS_SHAPE, "float32")
        self._sorted = keras.Variable(scores, trainable=False, name="relative")
        self._trends = keras.Variable(trends, trainable=False, name="trends")

    @property
    def variables(self) -> list[keras.Variable]:
        """What a run and an exported model keep."""
        return [self._sorted, self._trends]

    @property
    def count(self) -> int:
        """How many scores there are; 0 if none are known."""
        with tf.init_scope():
            return int(_count(self._sorted))

    def take(self, elbos: np.ndarray, known: np.ndarray) -> None:
        """Takes the ELBOs [N] of held-out images and their complexities [N, 2]."""
        trends, above = fit_trends(known, elbos)
        places = np.full(MOST_SCORES, np.inf)
        places[: len(above)] = np.sort(np.where(np.isnan(above), -np.inf, above))
        self._trends.assign(trends)
        self._sorted.assign(places)

    def compare(self, elbos: tf.Tensor, known: tf.Tensor) -> Anomaly:
        """Compares images, by their ELBOs [B] and complexities [B, 2], with held-out ones.

        The p-value is conformal, (1 + number of held-out scores up to this one) / (1 + number of
        held-out scores): of usual images at most a share p gets a value up to p, on average over
        held-out sets (Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", 2005,
        section 2.2). Held-out images that helped to choose the epoch are a little too usual.
        """
        scores = relative_scores(elbos, known, tf.convert_to_tensor(self._trends))
        held_out = tf.convert_to_tensor(self._sorted)
        least, num = tf.where(tf.math.is_nan(scores), -np.inf, scores), _count(held_out)
        as_low = tf.cast(held_out <= least[:, tf.newaxis], tf.int32)
        lower = tf.minimum(tf.reduce_sum(as_low, axis=1), num)
        p_values = tf.cast(1 + lower, tf.float32) / tf.cast(1 + num, tf.float32)
        return Anomaly(scores, p_values)


def surprises(
    model: Any, grey: tf.Tensor, labels: tf.Tensor | None, reach: int = _REACH
) -> tf.Tensor:
    """Finds how much less likely pixels are than if they were as in the reconstruction.

    At each place the reconstruction is shifted by a pixel to where it fits best: strokes that are
    slightly shifted are usual.

    Args:
        model: a VAE whose likelihood has `log_prob_of_values`.
        grey: grey levels in [0, 1], float32 [B, H, W, C].
        labels: of a conditional model, [B].
        reach: by how many pixels it is shifted at most, in each direction.

    Returns:
        The differences, blurred, [B, H, W], nats.
    """
    pixels, likelihood = model.pixels.binarize_mode(grey), model.pixels.likelihood
    height, width, _ = model.image_shape
    outputs = model.parameters(model.encode(pixels, labels).mean, labels)
    outputs = tf.pad(outputs, [[0, 0], [reach, reach], [reach, reach], [0, 0]], "SYMMETRIC")
    of_drawn = likelihood.log_prob_of_values(likelihood.mean(outputs), outputs)
    moves, differences = list(itertools.product(range(2 * reach + 1), repeat=2)), []
    for top, left in moves:
        place = slice(None), slice(top, top + height), slice(left, left + width)
        less = of_drawn[place] - likelihood.log_prob_of_values(pixels, outputs[place])
        differences.append(tf.reduce_sum(less, axis=-1))
    blur = np.outer(_BLUR, _BLUR)[..., None, None] / _BLUR.sum() ** 2
    filters = tf.constant(np.tile(blur, [1, 1, len(moves), 1]), tf.float32)
    blurred = tf.nn.depthwise_conv2d(tf.stack(differences, -1), filters, [1, 1, 1, 1], "SAME")
    return tf.reduce_min(blurred, axis=-1)


class UsualHeat(tf.Module):
    """For each pixel the largest usual `surprises`; +inf before they are known."""

    effect_if_missing = "the model cannot show where an image is unusual"

    def __init__(self, height: int, width: int):
        """Makes places for the pixels of an image."""
        super().__init__(name="usual_heat")
        unknown = np.full((height, width), np.inf, np.float32)
        self._limit = keras.Variable(unknown, trainable=False, name="heat_limit")

    @property
    def variables(self) -> list[keras.Variable]:
        """What a run and an exported model keep."""
        return [self._limit]

    @property
    def is_known(self) -> bool:
        """Whether it was learned."""
        with tf.init_scope():
            return bool(tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(self._limit))))

    def take(self, found: np.ndarray) -> None:
        """Takes the `surprises` of held-out images, [N, H, W]."""
        self._limit.assign(found.mean(axis=0) + _USUAL_DEVIATIONS * found.std(axis=0))

    def above(self, found: tf.Tensor) -> tf.Tensor:
        """How far `surprises` [B, H, W] are above the usual ones; 0 where they are not."""
        return tf.nn.relu(found - tf.convert_to_tensor(self._limit))


def _count(scores: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(tf.convert_to_tensor(scores) < np.inf, tf.int32))


def complexities(images: tf.Tensor, reconstructions: tf.Tensor) -> tf.Tensor:
    """The complexities of images [B, H, W, C] and of their reconstructions, [B, 2].

    It is the logarithm of the mean difference between neighbouring pixels. One is added to the sum,
    so that an image of a single grey level has a logarithm too.
    """
    return tf.stack([_log_total_variation(each) for each in (images, reconstructions)], axis=1)


def _log_total_variation(images: tf.Tensor) -> tf.Tensor:
    differences = [images[:, 1:] - images[:, :-1], images[:, :, 1:] - images[:, :, :-1]]
    total = tf.add_n([tf.reduce_sum(tf.abs(each), axis=(1, 2, 3)) for each in differences])
    return tf.math.log(total + 1) - math.log(math.prod(images.shape[1:]))


def fit_trends(known: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fits parabolas of both complexities [N, 2] to the scores [N] of usual images.

    Returns:
        What `relative_scores` takes, TRENDS_SHAPE; and relative scores of these images, [N], each
        by parabolas fitted to the other images, so that they are as those of new images.
    """
    trends, above = zip(*(fit_trend(own, scores) for own in known.T), strict=True)
    return np.stack(trends), np.min(above, axis=0)


def relative_scores(scores: tf.Tensor, known: tf.Tensor, trends: tf.Tensor) -> tf.Tensor:
    """Scores [B] minus those expected at the complexity that expects more."""
    both = zip(tf.unstack(known, axis=1), tf.unstack(trends), strict=True)
    return scores - functools.reduce(tf.maximum, (expected_score(*each) for each in both))


def fit_trend(complexity: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fits a parabola of the complexity [N] to the scores [N] of usual images, by least squares.

    Returns:
        What `expected_score` takes, a row of TRENDS_SHAPE; and how far each score is above a
        parabola fitted to the other images, [N]: so it is as for new images.
    """
    known, above = np.isfinite(scores) & np.isfinite(complexity), np.array(scores, np.float64)
    if not known.any():
        return np.zeros(TRENDS_SHAPE[1]), above
    places, own = complexity[known].astype(np.float64), above[known]
    least, most = places.min(), places.max()
    degree = min(_DEGREE, len(np.unique(places.round(_DIGITS))) - 1)
    powers = np.vander(places - (least + most) / 2, degree + 1, increasing=True)
    basis, upper = np.linalg.qr(powers)
    coefficients = np.linalg.solve(upper, basis.T @ own)
    influence = np.square(basis).sum(axis=1)  # of a score on its own fit
    above[known] = (own - powers @ coefficients) / np.maximum(1 - influence, 1e-3)
    return np.array([*np.pad(coefficients, (0, _DEGREE - degree)), least, most]), above


def expected_score(complexity: tf.Tensor, trend: tf.Tensor) -> tf.Tensor:
    """The score [B] of usual images of this complexity [B], or of the nearest known one."""
    constant, slope, bend, least, most = tf.unstack(trend)
    inside = tf.clip_by_value(complexity, least, most) - (least + most) / 2
    return constant + inside * (slope + inside * bend)
