import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_cvae, tiny_images

from cvae_tf.evaluation import evaluated_model, everywhere, exact_evidence, sampled_bounds
from cvae_tf.evaluation.evaluated_model import EvaluatedModel
from cvae_tf.models.vae.likelihoods import GAUSSIAN
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.models.vae.posterior import Posterior


def _sharp(latent_dim, seed=3, scale=4.0):
    """A model with narrow posteriors that have several modes; its encoder knows nothing of it."""
    model = tiny_cvae(seed=seed, latent_dim=latent_dim)
    for variable in model.decoder.weights:
        variable.assign(scale * variable)
    return evaluated_model.from_model(model, {})


def _pixels(num=12):
    return binary_images(num)


def _integrate(model, pixels, batch_size=1000, **options):
    posteriors = sampled_bounds.encode(model, pixels, 100)
    bounds = sampled_bounds.bounds(model, pixels, posteriors, [1], 20, 0, 1000)
    elbo = bounds.log_likelihood - sampled_bounds.kl_per_dimension(posteriors).sum(axis=1)
    return exact_evidence.log_evidence(model, pixels, posteriors, elbo, batch_size, **options)


def _on_a_grid(model, pixels, latents, log_measure):
    """log p(x) by a plain sum over latents, in float64."""
    logits = np.concatenate([
        model.decode(tf.constant(part, tf.float32)) for part in np.array_split(latents, 20)
    ])  # fmt: skip
    logits = logits.reshape(len(latents), -1).astype(float)
    flat = pixels.reshape(len(pixels), -1)
    log_likelihood = flat @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    log_prior = -0.5 * np.sum(latents**2 + np.log(2 * np.pi), axis=1)
    log_joint = log_likelihood + log_prior + log_measure
    largest = log_joint.max(axis=1)
    return largest + np.log(np.exp(log_joint - largest[:, None]).sum(axis=1))


def test_a_decoder_that_ignores_its_latents_leaves_the_likelihood():
    model = tiny_cvae()
    model.decoder.set_weights([0 * weights for weights in model.decoder.get_weights()])
    model.decoder.layers[-1].bias.assign([0.7])
    pixels = _pixels()
    found = _integrate(evaluated_model.from_model(model, {}), pixels)
    white = pixels.sum(axis=(1, 2, 3))
    expected = -white * np.log1p(np.exp(-0.7)) - (36 - white) * np.log1p(np.exp(0.7))
    np.testing.assert_allclose(found.log_evidence, expected, atol=1e-3)


def test_one_dimension_agrees_with_a_plain_sum():
    model, pixels = _sharp(latent_dim=1), _pixels()
    axis = np.linspace(-8, 8, 40_001)[:, None]
    expected = _on_a_grid(model, pixels, axis, np.log(16 / 40_000))
    np.testing.assert_allclose(_integrate(model, pixels).log_evidence, expected, atol=2e-3)


@pytest.mark.parametrize("seed", [3, 4])
def test_two_dimensions_agree_with_a_plain_sum(seed):
    model, pixels = _sharp(latent_dim=2, seed=seed), _pixels()
    axis = np.arange(-7, 7, 0.02)
    latents = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    expected = _on_a_grid(model, pixels, latents, 2 * np.log(0.02))
    found = _integrate(model, pixels)
    np.testing.assert_allclose(found.log_evidence, expected, atol=5e-3)
    assert abs(found.change) < 0.01


@pytest.mark.parametrize("num", [1, 12])
def test_pixels_that_are_the_same_in_all_images_count_as_the_others_do(num):
    model, pixels = _sharp(latent_dim=1), _pixels(num)
    pixels[:, 0], pixels[:, :, 0] = 0, 1
    axis = np.linspace(-8, 8, 40_001)[:, None]
    expected = _on_a_grid(model, pixels, axis, np.log(16 / 40_000))
    np.testing.assert_allclose(_integrate(model, pixels).log_evidence, expected, atol=2e-3)


def _designed(logits_of, latent_dim=2, mean=0.0, deviation=1.0):
    """A model of one pixel and a given posterior; `logits_of` maps latents [B, Z] to [B]."""

    def encode(pixels):
        shape = [tf.shape(pixels)[0], latent_dim]
        return Posterior(tf.fill(shape, mean), tf.fill(shape, 2 * np.float32(np.log(deviation))))

    def decode(latents):
        return tf.reshape(logits_of(latents), [-1, 1, 1, 1])

    return EvaluatedModel(encode, decode, latent_dim, (1, 1, 1), Pixels(), {})


def test_what_lies_far_from_the_prior_counts_too():
    model = _designed(lambda latents: 60 * (latents[:, 0] - 6))
    found = _integrate(model, np.ones((1, 1, 1, 1), np.float32))
    axis = np.linspace(0, 12, 100_001)
    log_density = -0.5 * axis**2 - 0.5 * np.log(2 * np.pi) - np.logaddexp(0, -60 * (axis - 6))
    expected = np.log(np.exp(log_density).sum() * (axis[1] - axis[0]))
    assert found.log_evidence[0] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("width", [0.01, 0.004])
@pytest.mark.parametrize("batch_size", [60, 1000])  # less and more than the nodes of a cell
def test_a_narrow_posterior_is_not_overlooked_and_needs_few_nodes(batch_size, width):
    centre = 0.3137

    def logits(latents):
        distance = tf.reduce_sum((latents - centre) ** 2, axis=1) / width**2
        return 40 - distance / 2

    found = _integrate(
        _designed(lambda latents: logits(latents) - 80, mean=centre, deviation=width),
        np.ones((1, 1, 1, 1), np.float32),
        batch_size,
    )
    log_prior = -(centre**2) - np.log(2 * np.pi)
    expected = -40 + np.log(2 * np.pi * width**2) + log_prior  # sigmoid(l) is exp(l) down there
    assert found.log_evidence[0] == pytest.approx(expected, abs=0.01)
    assert found.step >= 0.0125


@pytest.mark.parametrize(("width", "share"), [(0.004, 0), (0.0005, 1)])
def test_peaks_between_the_points_are_known_for_it(width, share):
    def logits(latents):
        return -40 - tf.reduce_sum((latents - 0.3137) ** 2, axis=1) / (2 * width**2)

    model = _designed(logits, mean=0.3137, deviation=width)
    found = _integrate(model, np.ones((1, 1, 1, 1), np.float32))
    np.testing.assert_allclose(found.too_sharp, [share], atol=1e-3)


@pytest.mark.parametrize(("width", "centre"), [(0.03, (5.503, 1.203)), (0.3, (5.53, 1.27))])
def test_a_peak_far_from_the_prior_is_found_though_the_encoder_looks_elsewhere(width, centre):
    def logits(latents):
        distance = tf.reduce_sum((latents - centre) ** 2, axis=1) / width**2
        return -90 + 60 * tf.exp(-distance / 2)

    found = _integrate(_designed(logits, deviation=0.05), np.ones((1, 1, 1, 1), np.float32))
    axis = np.linspace(-1, 1, 2001) * 10 * width
    places = np.stack(np.meshgrid(axis, axis), axis=-1)
    log_prior = -0.5 * np.sum((places + centre) ** 2, axis=-1) - np.log(2 * np.pi)
    peak = np.exp(60 * np.exp(-0.5 * np.sum(places**2, axis=-1) / width**2) + log_prior)
    expected = -90 + np.log(1 + peak.sum() * (axis[1] - axis[0]) ** 2)
    assert found.log_evidence[0] == pytest.approx(expected, abs=0.02)
    assert expected > -85  # that is, it counts


def test_an_image_whose_encoder_looks_far_out_is_integrated_there():
    """The others, which no ring out there would change, are left."""

    def encode(pixels):
        return Posterior(10 * pixels[:, 0, 0], tf.fill(tf.shape(pixels[:, 0, 0]), -9.0))

    def logits(latents):
        return tf.reshape(200 * (latents[:, 0] - 9.9), [-1, 1, 1, 1])

    model = EvaluatedModel(encode, logits, 1, (1, 1, 1), Pixels(), {})
    pixels = np.array([0] * 999 + [1], np.float32).reshape(-1, 1, 1, 1)
    found = _integrate(model, pixels).log_evidence
    axis = np.linspace(9, 12, 100_001)
    density = np.exp(-0.5 * axis**2 - np.logaddexp(0, -200 * (axis - 9.9))) / np.sqrt(2 * np.pi)
    assert found[-1] == pytest.approx(np.log(density.sum() * (axis[1] - axis[0])), abs=0.02)
    np.testing.assert_allclose(found[:-1], 0, atol=1e-4)


@pytest.mark.parametrize("width", [0.015, 0.02, 0.04])
def test_a_thin_ring_over_very_many_cells_is_not_settled_too_early(width):
    """No single cell changes by much there, and all together do."""

    def logits(latents):
        return -30 - (tf.norm(latents, axis=1) - 1.7) ** 2 / (2 * width**2)

    found = _integrate(_designed(logits), np.ones((1, 1, 1, 1), np.float32))
    radius = np.linspace(0, 5, 200_001)
    density = radius * np.exp(-0.5 * radius**2 - (radius - 1.7) ** 2 / (2 * width**2))
    expected = -30 + np.log(density.sum() * (radius[1] - radius[0]))
    assert found.log_evidence[0] == pytest.approx(expected, abs=0.01)


def test_stripes_over_hundreds_of_cells_are_not_settled_too_early():
    """Within the prior there are a dozen stripes, each through dozens of cells."""
    gap, width = 0.5, 0.01

    def logits(latents):
        away = latents[:, 0] - gap * tf.round(latents[:, 0] / gap)
        return -30 - away**2 / (2 * width**2)

    found = _integrate(_designed(logits), np.ones((1, 1, 1, 1), np.float32))
    axis = np.linspace(-8, 8, 400_001)
    away = axis - gap * np.round(axis / gap)
    density = np.exp(-0.5 * axis**2 - away**2 / (2 * width**2)) / np.sqrt(2 * np.pi)
    expected = -30 + np.log(density.sum() * (axis[1] - axis[0]))
    assert found.log_evidence[0] == pytest.approx(expected, abs=0.01)


def test_the_size_of_batches_does_not_matter():
    model, pixels = _sharp(latent_dim=2), _pixels(5)
    small, large = (_integrate(model, pixels, size).log_evidence for size in (300, 5000))
    np.testing.assert_allclose(small, large, atol=1e-3)


def test_many_cells_are_done_in_parts(monkeypatch):
    model, pixels = _sharp(latent_dim=2), _pixels(7)
    whole = _integrate(model, pixels)
    monkeypatch.setattr(everywhere, "_PAIRS_OF_BATCH", 0.001)  # one image at a time
    parts = _integrate(model, pixels)
    np.testing.assert_allclose(parts.log_evidence, whole.log_evidence, atol=5e-3)
    assert abs(parts.change) < 0.01


def test_unlikely_images_do_not_underflow():
    model = _designed(lambda latents: -2000 + 0 * latents[:, 0])
    found = _integrate(model, np.ones((1, 1, 1, 1), np.float32))
    assert found.log_evidence[0] == pytest.approx(-2000, abs=0.01)


def test_sharp_densities_are_compared_without_cancellation():
    random = np.random.default_rng(0)
    means = random.uniform(-4, 4, size=(1, 28, 28, 1)).astype(np.float32)
    outputs = np.concatenate([means, np.full_like(means, -11)], axis=-1)
    grey = 1 / (1 + np.exp(-means)) + random.normal(size=means.shape) * np.exp(-5.5)
    together = GAUSSIAN.log_prob_of_all(tf.constant(grey, tf.float32), tf.constant(outputs))
    apart = GAUSSIAN.log_prob(tf.constant(grey, tf.float64), tf.constant(outputs, tf.float64))
    assert float(together[0, 0]) == pytest.approx(float(apart[0]), abs=0.1)


@pytest.mark.parametrize("name", ["continuous_bernoulli", "gaussian", "discretized_logistic"])
def test_grey_levels_are_integrated_too(name):
    model = _sharp(latent_dim=1)
    if name != "continuous_bernoulli":
        decode = model.decode
        model = model._replace(
            decode=lambda latents: tf.concat([decode(latents), 0 * decode(latents) - 2], axis=-1)
        )
    model = model._replace(pixels=Pixels("none", name))
    grey = (tiny_images(3) / 255).astype(np.float32)
    axis = np.linspace(-8, 8, 8001, dtype=np.float32)[:, None]
    outputs = model.decode(tf.constant(axis))
    log_joint = [
        model.pixels.density.log_prob(tf.constant(np.tile(image, (8001, 1, 1, 1))), outputs)
        - 0.5 * (axis[:, 0] ** 2 + np.log(2 * np.pi))
        for image in grey
    ]
    expected = np.logaddexp.reduce(np.array(log_joint, float), axis=1) + np.log(16 / 8000)
    np.testing.assert_allclose(_integrate(model, grey).log_evidence, expected, atol=5e-3)


def test_bounds_stay_below_and_a_covering_proposal_agrees():
    model, pixels = _sharp(latent_dim=2, scale=3.0), _pixels(8)
    exact = _integrate(model, pixels).log_evidence
    posteriors = sampled_bounds.encode(model, pixels, 100)
    found = sampled_bounds.bounds(model, pixels, posteriors, [1, 100, 3000], 1, 0, 8000)
    for values in found.importance_weighted.values():
        error = sampled_bounds.mean_of(values - exact).standard_error
        assert values.mean() <= exact.mean() + 3 * error
    np.testing.assert_allclose(_by_mixture(model, pixels, posteriors), exact, atol=0.05)


def _by_mixture(model, pixels, posteriors: Posterior, num=100_000):
    """Importance sampling whose proposal is half the prior and half the posterior, in NumPy."""
    random, results = np.random.default_rng(0), []
    for image, mean, logvar in zip(pixels, *posteriors, strict=True):
        deviation = np.exp(logvar / 2)
        latents = random.normal(size=(num, 2))
        latents[num // 2 :] = mean + deviation * latents[num // 2 :]

        def density(centre, spread, at=latents):
            return np.prod(np.exp(-((at - centre) ** 2) / (2 * spread**2)) / spread, axis=1)

        proposal = 0.5 * density(0, 1) + 0.5 * density(mean, deviation)
        log_weight = np.log(density(0, 1)) - np.log(proposal)
        logits = model.decode(tf.constant(latents, tf.float32)).numpy().reshape(num, -1)
        log_likelihood = logits @ image.ravel() - np.logaddexp(0, logits).sum(axis=1)
        weights = np.exp(log_likelihood + log_weight)
        results.append(np.log(weights.mean()))
    return np.array(results)
