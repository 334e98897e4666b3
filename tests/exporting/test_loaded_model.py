import threading
import types

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
def finished(exported_finished_digits):
    """One that knows held-out scores."""
    return loading.load(exported_finished_digits)


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


def _goes_on(function):
    """Whether a function comes to its end in another thread."""
    done = threading.Event()
    threading.Thread(target=lambda: (function(), done.set()), daemon=True).start()
    return done.wait(30)


_FRAMES = np.zeros((2, 28, 28, 1))
_MALFORMED = {  # a request of each method that does not fit, and what is said of it
    "decode": [((np.zeros((2, 3)),), r"Latents of shape \(2, 3\) do not fit .*\[N, 2\]")],
    "encode": [((np.zeros((2, 8, 8, 1)),), r"shape \(2, 8, 8, 1\) do not fit .*\[N, 28, 28, 1\]")],
    "reconstruct": [((_FRAMES + 255,), r"must lie in \[0, 1\]")],
    "sample": [
        ((-1,), "num=-1; must be a whole number from 0 to"),
        ((2.5,), "num=2.5"),
        ((2, [1, 2]), "seed: is a list"),
        ((2, 2**31), "seed=2147483648; must be a whole number"),
        ((2, 0, [1, 1]), "This model knows no labels"),
    ],
    "sample_latents": [((2.5, [1, 2]), "num=2.5"), ((2, 5), "key must be two whole numbers")],
    "labels_in_turn": [((2,), "This model knows no labels")],
    "score": [((_FRAMES, 1.5), "seed=1.5"), ((_FRAMES - 1,), r"must lie in \[0, 1\]")],
    "mean_scores": [((_FRAMES, 0, 2.0), "num_samples=2.0"), ((_FRAMES, 0, 0), "num_samples=0")],
    "infer": [((_FRAMES, 2.0), "steps=2.0; must be a whole number from 0 to"), ((None,), "object")],
    "p_values": [((np.zeros((3, 1)),), r"Scores of shape \(3, 1\)")],
}


@pytest.mark.parametrize("method", _MALFORMED)
def test_malformed_requests_are_refused_and_other_threads_go_on(finished, method):
    for arguments, message in _MALFORMED[method]:
        with pytest.raises(UserError, match=message):
            getattr(finished, method)(*arguments)
    assert _goes_on(lambda: finished.decode(np.zeros((1, 2))))
    assert _goes_on(lambda: finished.p_values(np.zeros(1)))
    assert _goes_on(lambda: finished.sample(1))


def test_malformed_requests_by_signatures_do_not_stop_other_threads(functions):
    """As docs/serving.md says of the SavedModel itself."""
    decode, sample = functions.signatures["decode"], functions.signatures["sample"]
    for latents in (
        np.zeros((2, 3)),
        tf.zeros([2, 3]),
        tf.zeros([2]),
        "a",
        tf.zeros([2, 2], "int32"),
    ):
        with pytest.raises((TypeError, tf.errors.InvalidArgumentError)):
            decode(latents=latents)
    with pytest.raises(tf.errors.InvalidArgumentError):
        sample(num=tf.constant(2), seed=tf.constant(1))
    with pytest.raises(TypeError):
        decode(images=np.zeros((2, 2)))
    assert _goes_on(lambda: decode(latents=tf.zeros([1, 2])))
    assert _goes_on(lambda: sample(num=tf.constant(1), seed=tf.constant([1, 2])))


def test_what_a_model_cannot_do_is_refused_in_a_line(functions):
    signatures = {name: functions.signatures[name] for name in ("sample", "decode")}
    drawing = loaded_model.LoadedModel(types.SimpleNamespace(signatures=signatures), {})
    images = np.zeros((1, 28, 28, 1))
    for method in (drawing.encode, drawing.reconstruct, drawing.score):
        with pytest.raises(UserError, match=f"This model cannot {method.__name__}; it has sample"):
            method(images)
    assert drawing.p_values([1.0]) is None


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
