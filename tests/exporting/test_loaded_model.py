import numpy as np
import pytest
import tensorflow as tf
from conftest import METADATA, run_python

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting import loaded_model, loading


@pytest.fixture(scope="module")
def model(exported_digits):
    return loading.load(exported_digits)


@pytest.fixture(scope="module")
def functions(exported_digits):
    return tf.saved_model.load(str(exported_digits))


def test_model_knows_its_sizes_and_its_origin(model):
    assert model.image_shape == (28, 28, 1) and model.latent_dim == 2
    assert model.metadata == METADATA


def test_run_directory_is_as_good_as_its_export(exported_digits):
    run_dir = exported_digits.parents[1]
    np.testing.assert_array_equal(
        loading.load(run_dir).sample(3), loading.load(exported_digits).sample(3)
    )


def test_samples_are_decoded_latents_of_the_prior(model, functions):
    latents = tf.random.stateless_normal([5, 2], derived_key(7, Purpose.SAMPLES))
    expected = functions.decode(latents=latents)["images"]
    np.testing.assert_allclose(model.sample(5, seed=7), expected, rtol=1e-5, atol=1e-6)


def test_samples_do_not_depend_on_how_many_are_asked_for(model):
    many = model.sample(300, seed=2)
    assert many.shape == (300, 28, 28, 1)
    np.testing.assert_allclose(model.sample(260, seed=2), many[:260], rtol=1e-5, atol=1e-6)
    parts = list(model.sample_in_parts(300, seed=2))
    assert len(parts) > 1 and max(map(len, parts)) <= 256
    np.testing.assert_array_equal(np.concatenate(parts), many)


def test_no_samples_are_no_images(model):
    assert model.sample(0).shape == (0, 28, 28, 1)


@pytest.mark.parametrize("num", [0, 1, 256, 300])
def test_parts_are_joined_in_order(model, functions, digits, num):
    images = (digits.train.images[:num] / 255).astype(np.float32)
    posterior = model.encode(images)
    expected = functions.encode(tf.constant(images))
    np.testing.assert_allclose(posterior.mean, expected["mean"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(posterior.logvar, expected["logvar"], rtol=1e-4, atol=1e-5)
    again = functions.reconstruct(tf.constant(images))["images"]
    np.testing.assert_allclose(model.reconstruct(images), again, rtol=1e-4, atol=1e-5)
    decoded = functions.decode(expected["mean"])["images"]
    np.testing.assert_allclose(model.decode(posterior.mean), decoded, rtol=1e-4, atol=1e-5)


def test_images_of_other_kinds_are_taken(model, digits):
    images = digits.test.images[:3]
    expected = model.encode(images / 255).mean
    for same in (images, images[..., 0], images.astype(np.int64)):
        np.testing.assert_allclose(model.encode(same).mean, expected, rtol=1e-5, atol=1e-6)
    white = model.reconstruct(images > 127)
    np.testing.assert_array_equal(white, model.reconstruct((images > 127) * 255))


def test_images_of_another_size_are_refused_in_a_line(model):
    with pytest.raises(UserError, match=r"shape \(2, 8, 8, 1\) do not fit .*\[N, 28, 28, 1\]"):
        model.score(np.zeros((2, 8, 8, 1)))


def test_scores_add_up_and_follow_from_the_seed(model, digits):
    images = digits.test.images[:260] / 255
    images[256:] = images[:4]
    scores = model.score(images, seed=5)
    elbo, kl = scores["elbo"], scores["kl"]
    np.testing.assert_allclose(elbo, scores["log_likelihood"] - kl, atol=1e-3)
    np.testing.assert_array_equal(elbo, model.score(images, seed=5)["elbo"])
    assert np.all(kl != model.score(images, seed=6)["kl"])
    assert np.all(kl[:4] != kl[256:]), "each part needs noise of its own"


def test_mean_scores_of_neighbouring_seeds_share_no_samples(model, digits):
    images = digits.test.images[:200] / 255
    one, more = model.score(images, seed=1)["kl"], model.mean_scores(images, 0, 8)["kl"]
    draws = np.stack([model.mean_scores(images, seed, 8)["kl"] for seed in range(30)])
    assert abs(np.corrcoef(more - draws.mean(0), one - draws.mean(0))[0, 1]) < 0.3
    neighbours = [np.corrcoef(*(draws[[i, i + 1]] - draws.mean(axis=0)))[0, 1] for i in range(29)]
    assert abs(np.mean(neighbours)) < 0.1  # seven shared samples of eight would give 0.9


def test_images_are_sorted_by_the_elbo(model):
    assert (model.main_score.name, model.main_score.title) == ("elbo", "ELBO")
    of_old = loaded_model.LoadedModel(model.functions, {})
    assert of_old.main_score == model.main_score


def test_training_code_is_not_needed(exported_digits, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import cvae_tf\n"
        "print(cvae_tf.load(sys.argv[2]).sample(2).shape)\n"
        "needless = ('vae.model', 'trainer', 'building')\n"
        "own = [name for name in sys.modules if name.startswith('cvae_tf')]\n"
        "print([name for name in own if name.endswith(needless)])"
    )
    project = str(loading.__file__).rpartition("cvae_tf")[0]
    done = run_python("-c", code, project, exported_digits, cwd=tmp_path)
    assert done.stdout.splitlines() == ["(2, 28, 28, 1)", "[]"]
