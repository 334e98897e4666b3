"""The density that latents are drawn from: EM against SciPy and known mixtures, draws, export."""

import numpy as np
import onnxruntime
import pytest
import scipy.stats
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from cvae_tf import workflows
from cvae_tf.models.vae import latent_mixture
from cvae_tf.models.vae.latent_mixture import LatentSampler, Mixture
from cvae_tf.training import building


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
    return np.logaddexp.reduce(latent_mixture.log_joint(mixture, latents), axis=1)


def test_the_density_is_that_of_scipy():
    mixture, latents = _known(), np.random.default_rng(1).normal(size=(7, 3))
    joint = latent_mixture.log_joint(mixture, latents)
    for number, (log_weight, mean, root) in enumerate(zip(*mixture, strict=True)):
        expected = scipy.stats.multivariate_normal(mean, root @ root.T).logpdf(latents)
        np.testing.assert_allclose(joint[:, number], log_weight + expected)


def test_a_fit_is_as_good_on_new_latents_as_what_they_come_from(monkeypatch):
    known = _known()
    monkeypatch.setattr(latent_mixture, "COMPONENTS", 2)
    found = latent_mixture.fit(_drawn(known, 4000), np.random.default_rng(0))
    new = _drawn(known, 4000, seed=1)
    assert _log_density(found, new).mean() > _log_density(known, new).mean() - 0.02
    order = np.argsort(found.means[:, 0])
    np.testing.assert_allclose(found.means[order], known.means, atol=0.15)
    np.testing.assert_allclose(np.exp(found.log_weights[order]), [0.3, 0.7], atol=0.03)


@pytest.mark.parametrize("num", [1, 5, 40])
def test_few_latents_make_fewer_gaussians(num):
    found = latent_mixture.fit(
        np.ones((num, 3)) * np.arange(num)[:, None], np.random.default_rng(0)
    )
    assert 1 <= len(found.means) <= max(1, num // 6)
    assert all(np.isfinite(part).all() for part in found)


def test_images_that_are_all_alike_make_one_gaussian():
    found = latent_mixture.fit(np.ones((40, 2)), np.random.default_rng(0))
    assert found.means.shape == (1, 2) and np.isfinite(found.roots).all()


def test_a_sampler_draws_from_the_mixture():
    sampler = LatentSampler(3)
    prior = sampler.draw(5000, tf.constant([1, 2])).numpy()
    np.testing.assert_allclose(np.cov(prior.T), np.eye(3), atol=0.1)
    known = _known()
    sampler.take(known)
    drawn = sampler.draw(20_000, tf.constant([1, 2])).numpy()
    expected = _drawn(known, 200_000)
    np.testing.assert_allclose(drawn.mean(axis=0), expected.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(expected.T), atol=0.35)
    assert np.mean(drawn[:, 0] < 0) == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(sampler.draw(3, tf.constant([1, 2])), drawn[:3])


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_npz):
    place = tmp_path_factory.mktemp("mixture") / "run"
    settings = {
        "data_path": str(small_npz),
        "epochs": 1,
        "batch_size": 32,
        "latent_dim": 3,
        "network": "mlp",
        "hidden": "32",
    }
    return workflows.train(run_dir=place, sampler="mixture", verbose=0, **settings)


def test_samples_of_a_run_come_from_it(run, small_npz):
    model = workflows.loading.load(run.saved_model)
    latents = model.sample_latents(2000, tf.constant([3, 4])).numpy()
    trained = building.load_trained(str(run.directory)).model
    np.testing.assert_allclose(
        trained.sample_latents(2000, tf.constant([3, 4])), latents, atol=1e-5
    )
    dataset = workflows.load_dataset(data_path=str(small_npz))
    means = model.encode(dataset.train.images).mean
    np.testing.assert_allclose(np.cov(latents.T), np.cov(means.T), rtol=0.2, atol=0.02)
    functions = tf.saved_model.load(str(run.saved_model))
    first = functions.sample(num=2, seed=[5, 6])["images"]
    np.testing.assert_allclose(first, functions.sample(num=3, seed=[5, 6])["images"][:2], atol=1e-6)
    assert "mixture of Gaussians" in (run.saved_model / "README.md").read_text()


def test_an_unfinished_run_draws_from_the_prior(run, tmp_path, capsys):
    (run.directory / "finishing.npz").rename(tmp_path / "gone.npz")
    try:
        model = building.load_trained(str(run.directory)).model
    finally:
        (tmp_path / "gone.npz").rename(run.directory / "finishing.npz")
    assert "the end is missing: samples come from the prior" in capsys.readouterr().out
    drawn = model.sample_latents(5000, tf.constant([1, 2])).numpy()
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(3), atol=0.1)


def test_what_has_another_number_of_gaussians_is_not_taken(run, capsys):
    path = run.directory / "finishing.npz"
    whole = path.read_bytes()
    with np.load(path) as arrays:
        others = {
            name: values[:-1] if name.startswith("sampler.") else values
            for name, values in arrays.items()
        }
    try:
        np.savez(path, **others)
        building.load_trained(str(run.directory))
    finally:
        path.write_bytes(whole)
    assert "the end is missing: samples come from the prior" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("format_name", ["litert", "onnx"])
def test_other_runtimes_have_the_sampler(run, tmp_path, format_name):
    directory = workflows.export(run.directory, tmp_path, format_name, verbose=0)
    sampler = building.load_trained(str(run.directory)).model.sampler
    random = np.random.default_rng(0)
    noise, uniform = random.normal(size=(9, 3)).astype("f4"), np.linspace(0, 1, 9, dtype="f4")
    if format_name == "onnx":
        session = onnxruntime.InferenceSession(str(directory / "sampler.onnx"))
        found = session.run(None, {"noise": noise, "uniform": uniform})[0]
    else:
        runner = Interpreter(str(directory / "sampler.tflite")).get_signature_runner()
        rows = zip(noise[:, None], uniform[:, None], strict=True)
        found = np.concatenate([runner(noise=z, uniform=u)["latents"] for z, u in rows])
    np.testing.assert_allclose(found, sampler(noise, uniform), atol=1e-5)
