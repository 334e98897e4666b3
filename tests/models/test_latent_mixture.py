"""The density that latents are drawn from: EM against SciPy and known mixtures, draws, export."""

import numpy as np
import onnxruntime
import pytest
import scipy.stats
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from helpers import METADATA, tiny_images, tiny_networks

from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.exporting.formats import write_model
from cvae_tf.models import FAMILIES
from cvae_tf.models.vae import latent_mixture
from cvae_tf.models.vae.latent_mixture import LatentSampler, Mixture
from cvae_tf.models.vae.model import CVAE


def _known():
    means = np.array([[-4.0, 0.0, 1.0], [4.0, 2.0, 0.0]])
    roots = np.stack([np.diag([0.5, 1.0, 2.0]), np.array([[1, 0, 0], [0.8, 0.5, 0], [0, 0, 0.3]])])
    return Mixture(np.log([0.3, 0.7]), means, roots)


def _drawn(mixture, num, seed=0):
    random = np.random.default_rng(seed)
    chosen = random.choice(len(mixture.means), num, p=np.exp(mixture.log_weights))
    noise = random.standard_normal((num, 3))
    return mixture.means[chosen] + np.einsum("nij,nj->ni", mixture.roots[chosen], noise)


def _log_density(mixture, latents):
    """By SciPy."""
    joint = [
        log_weight + scipy.stats.multivariate_normal(mean, root @ root.T).logpdf(latents)
        for log_weight, mean, root in zip(*mixture, strict=True)
    ]
    return np.logaddexp.reduce(joint)


def test_a_fit_is_as_good_on_new_latents_as_what_they_come_from(monkeypatch):
    known = _known()
    monkeypatch.setattr(latent_mixture, "COMPONENTS", 2)
    found = latent_mixture.fit(_drawn(known, 4000), np.random.default_rng(0))
    new = _drawn(known, 5000, seed=1)  # more than are taken at once
    joint = latent_mixture.log_joint(known, new)
    np.testing.assert_allclose(np.logaddexp.reduce(joint, axis=1), _log_density(known, new))
    assert _log_density(found, new).mean() > _log_density(known, new).mean() - 0.02
    order = np.argsort(found.means[:, 0])
    np.testing.assert_allclose(found.means[order], known.means, atol=0.15)
    np.testing.assert_allclose(np.exp(found.log_weights[order]), [0.3, 0.7], atol=0.03)


@pytest.mark.parametrize(("num", "step", "most"), [(1, 1, 1), (40, 1, 6), (40, 0, 1)])
def test_few_latents_or_such_as_are_alike_make_fewer_gaussians(num, step, most):
    latents = np.ones((num, 3)) * step * np.arange(num)[:, None]
    found = latent_mixture.fit(latents, np.random.default_rng(0))
    assert 1 <= len(found.means) <= most
    assert all(np.isfinite(part).all() for part in found)


def test_a_sampler_draws_from_the_mixture_and_before_it_is_fitted_from_the_prior():
    sampler = LatentSampler(3)
    prior = sampler.draw(5000, tf.constant([1, 2])).numpy()
    np.testing.assert_allclose(np.cov(prior.T), np.eye(3), atol=0.1)
    known = _known()
    sampler.take(known)
    drawn = sampler.draw(20_000, tf.constant([1, 2])).numpy()
    expected = _drawn(known, 200_000)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(expected.T), atol=0.35)
    assert np.mean(drawn[:, 0] < 0) == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(sampler.draw(3, tf.constant([1, 2])), drawn[:3])


def test_a_model_draws_latents_like_those_of_its_training_images():
    model = CVAE(tiny_networks(), seed=3, sampler="mixture")
    images = tiny_images(600)
    dataset = Dataset("toy", "", Split(images, None), Split(images[:9], None))
    FAMILIES["vae"].fit_after_training(model, "sampler", dataset)
    copy, key = model.for_inference(), tf.constant([3, 4])
    latents = copy.sample_latents(3000, key).numpy()
    np.testing.assert_array_equal(latents, model.sample_latents(3000, key))
    means = model.encode((images > 127).astype(np.float32)).mean
    np.testing.assert_allclose(latents.mean(axis=0), np.mean(means, axis=0), atol=0.03)
    np.testing.assert_allclose(np.cov(latents.T), np.cov(np.transpose(means)), rtol=0.2, atol=0.02)
    np.testing.assert_allclose(copy.sample(2, key), model.decode(latents[:2]), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("format_name", ["litert", "onnx"])
def test_other_runtimes_have_the_sampler(tmp_path, format_name):
    model = CVAE(tiny_networks(latent_dim=3), seed=3, sampler="mixture")
    model.sampler.take(_known())
    directory = tmp_path / "export"
    write_model(model, format_name, directory, METADATA)
    random = np.random.default_rng(0)
    noise, uniform = random.normal(size=(9, 3)).astype("f4"), np.linspace(0, 1, 9, dtype="f4")
    if format_name == "onnx":
        session = onnxruntime.InferenceSession(str(directory / "sampler.onnx"))
        found = session.run(None, {"noise": noise, "uniform": uniform})[0]
    else:
        runner = Interpreter(str(directory / "sampler.tflite")).get_signature_runner()
        rows = zip(noise[:, None], uniform[:, None], strict=True)
        found = np.concatenate([runner(noise=z, uniform=u)["latents"] for z, u in rows])
    np.testing.assert_allclose(found, model.sampler(noise, uniform), atol=1e-5)
