"""Our models as Keras models: fit, evaluate, predict, save, load; what does not fit is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import binary_images, tiny_cvae, tiny_networks, weights_of

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting.load import load
from cvae_tf.models import FAMILIES
from cvae_tf.models.base import images_and_labels
from cvae_tf.models.networks import Options
from cvae_tf.models.optimizers import build_optimizer
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.model import CVAE
from cvae_tf.training import building

pytestmark = [
    pytest.mark.filterwarnings("error"),
    # Of Keras itself: when it saves a variable under NumPy 2; with a data set, if it is to shuffle.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning"),
]

IMAGES = binary_images(20)
NO_PIXELS = r"^images must lie in \[0, 1\], without NaN, as 8-bit ones divided by 255 do\.$"


def _compiled(optimizer, **options):
    model = CVAE(tiny_networks(), 5)
    model.compile(optimizer, **options)
    return model


def _assert_same(model, other):
    np.testing.assert_equal(weights_of(model), weights_of(other))
    states = ([each.numpy() for each in own.optimizer.variables] for own in (model, other))
    np.testing.assert_equal(*states)


def _trained(model, epochs):
    model.fit(IMAGES, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def test_a_saved_and_loaded_model_trains_on_as_without_the_break(tmp_path):
    schedule = {"schedule": "cosine", "total_steps": 30, "warmup_steps": 3}
    whole = _compiled(build_optimizer(0.02, **schedule, weight_decay=0.1))
    _trained(whole, 2).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.jit_compile is False  # unlike Keras' own default
    _assert_same(whole, loaded)
    _assert_same(_trained(whole, 1), _trained(loaded, 1))
    assert int(loaded.optimizer.iterations) == 9
    CVAE(tiny_networks()).save(tmp_path / "bare.keras")
    assert not keras.saving.load_model(tmp_path / "bare.keras").compiled


def test_checkpoints_of_keras_hold_all_and_fit_raises_the_elbo(tmp_path):
    model = _compiled(keras.optimizers.Adam(0.05))
    best = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True)
    settings = {"epochs": 6, "batch_size": 8, "callbacks": [best], "verbose": 0}
    history = model.fit(IMAGES, validation_data=(IMAGES, IMAGES), **settings).history
    assert set(history) >= {"elbo", "log_likelihood", "kl", "val_elbo"}
    assert history["elbo"][-1] > history["elbo"][0] + 1
    found = keras.saving.load_model(tmp_path / "best.keras").evaluate(IMAGES, verbose=0)[0]
    assert found == pytest.approx(max(history["val_elbo"]), rel=1e-5)
    model.save_weights(tmp_path / "all.weights.h5")
    fresh = _compiled(keras.optimizers.Adam(0.05))
    fresh.load_weights(tmp_path / "all.weights.h5")
    _assert_same(model, fresh)


def test_weights_of_samples_losses_and_metrics_are_refused():
    with pytest.raises(ValueError, match="sample weights are not known"):
        images_and_labels((tf.constant(IMAGES), tf.constant(IMAGES), tf.ones([20])), 0)
    for name in ("loss", "metrics"):
        with pytest.raises(ValueError, match=f"compile it without {name}"):
            CVAE(tiny_networks()).compile("adam", **{name: "mse"})


# What does not fit a model is refused, in whatever form Keras is given it.


def _with_pixel(value):
    """Images of which one, in the third batch of eight, has a pixel of this value."""
    images = IMAGES.copy()
    images[17, 2, 3, 0] = value
    return images


def test_pixels_are_refused_in_every_form():
    images, model, several, eager = _with_pixel(2.0), tiny_cvae(), tiny_cvae(), tiny_cvae()
    several.compile("adam", steps_per_execution=3)
    eager.compile("adam", run_eagerly=True)
    data = tf.data.Dataset.from_tensor_slices(images).batch(8)
    ways = [
        lambda: model.fit(data, verbose=0),
        lambda: several.fit(data, verbose=0),
        lambda: eager.fit(data, verbose=0),
        lambda: model.fit(((images[i : i + 8],) for i in (0, 8, 16)), verbose=0, shuffle=False),
        lambda: model.fit(IMAGES, validation_data=(images,), verbose=0),
        lambda: model.evaluate(images, batch_size=8, verbose=0),
        lambda: model.test_on_batch(images),
        lambda: model.predict(data, verbose=0),
    ]
    for way in ways:
        with pytest.raises(UserError, match=NO_PIXELS):
            way()


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_refused_batch_changes_nothing(jit_compile):
    model = tiny_cvae()
    model.compile("adam", jit_compile=jit_compile)  # XLA would leave assertions out
    variables = (*model.variables, *model.optimizer.variables)
    before = [variable.numpy() for variable in variables]
    for value in (np.nan, np.inf, -np.inf, -0.001, 1.001):
        with pytest.raises(UserError, match=NO_PIXELS):
            model.train_on_batch(_with_pixel(value))
    np.testing.assert_equal([variable.numpy() for variable in variables], before)
    assert np.isfinite(model.train_on_batch(IMAGES)).all() and model.jit_compile == jit_compile


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[..., 0], r"^images of shape \(.*, 6, 6\) do not fit .* \[B, 6, 6, 1\]\.$"),
        ((IMAGES * 255).astype(np.uint8), r"^images are uint8; images must lie in \[0, 1\]"),
        (IMAGES.astype(np.int64), r"^images are int64; images must lie in \[0, 1\]"),
    ],
)
def test_images_of_another_form_are_refused(images, message):
    with pytest.raises(UserError, match=message):
        tiny_cvae().fit(images, verbose=0)


def test_a_conditional_model_takes_labels_of_its_classes_and_nothing_else(tmp_path):
    images, labels = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0))), np.arange(20) % 3
    chosen = {"image_shape": (8, 8, 1), "options": Options(hidden=(16,))}
    model = CVAE(network="mlp", seed=1, num_classes=3, **chosen)
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    others = (labels - 1, np.where(labels == 1, 99, labels), labels + 0.5, labels * np.nan)
    for wrong in (*others, labels > 0):
        for use in (model.fit, model.evaluate):
            with pytest.raises(UserError, match="^labels must be numbers of classes, from 0 to 2"):
                use(images, wrong, verbose=0)
    with pytest.raises(UserError, match="^labels have 3 values .* np.argmax"):
        model.fit(images, np.eye(3)[labels], verbose=0)
    with pytest.raises(ValueError, match="A conditional model needs labels"):
        model.train_step(images)
    history = model.fit(images, labels, batch_size=8, epochs=2, verbose=0).history
    assert history["elbo"][-1] > history["elbo"][0]
    expected = model.evaluate(images, labels, verbose=0)
    assert model.evaluate(images, labels[:, None] / 1.0, verbose=0) == expected
    model.save(tmp_path / "model.keras")
    pairs = tf.data.Dataset.from_tensors(((images, labels),))
    found = keras.saving.load_model(tmp_path / "model.keras").predict(pairs, verbose=0)
    np.testing.assert_allclose(found, model((images, labels)), atol=1e-6)
    np.testing.assert_allclose(found, model.for_inference()((images, labels)), atol=1e-4)


def test_our_own_trainer_pays_for_no_check():
    step = tf.function(tiny_cvae().train_step).get_concrete_function(tf.constant(IMAGES))
    definition = step.graph.as_graph_def()
    inner = (node for each in definition.library.function for node in each.node_def)
    nodes = [*definition.node, *inner]
    assert len(nodes) > 50 and not {node.op for node in nodes} & {"Assert", "CheckNumerics"}


# As a Keras user makes, trains and exports it.


def test_one_is_built_by_names():
    config = Config.create(preset="fast", seed=3)
    expected = building.build_model(config, (28, 28, 1), 100)
    np.testing.assert_equal(weights_of(CVAE(latent_dim=2, seed=3)), weights_of(expected))
    dense = CVAE(
        network="mlp", latent_dim=20, likelihood="discretized_logistic", image_shape=(8, 9, 3),
        options=Options(hidden=(7,)), num_classes=4,
    )  # fmt: skip
    assert tuple(dense.pixels) == ("none", "discretized_logistic") and dense.num_classes == 4
    assert dense.sample(2, tf.constant([1, 2]), tf.constant([0, 3])).shape == (2, 8, 9, 3)
    for doubled in ({"latent_dim": 2}, {"network": "mlp"}, {"image_shape": (6, 6, 1)}):
        with pytest.raises(ValueError, match=f"Give networks or {min(doubled)}, not both"):
            CVAE(tiny_networks(), **doubled)
    with pytest.raises(ValueError, match="Give pixels or likelihood, not both"):
        CVAE(pixels=Pixels(), likelihood="gaussian")


def test_callbacks_of_keras_work_with_their_defaults():
    model, early = _compiled(keras.optimizers.SGD(0.0)), keras.callbacks.EarlyStopping(patience=1)
    settings = {"validation_data": (IMAGES, IMAGES), "epochs": 9, "verbose": 0}
    history = model.fit(IMAGES, callbacks=[early], **settings).history
    assert len(history["loss"]) == 2
    assert history["val_loss"] == [-elbo for elbo in history["val_elbo"]]
    model.encoder.weights[0].assign(np.nan * model.encoder.weights[0])
    stopping = [keras.callbacks.TerminateOnNaN()]
    assert len(model.fit(IMAGES, batch_size=8, epochs=3, callbacks=stopping).history["loss"]) == 1


def test_its_export_is_the_saved_model_of_export_py(tmp_path):
    model = CVAE(network="mlp", latent_dim=3, likelihood="gaussian", image_shape=(8, 8, 1))
    model.export(tmp_path / "own")
    found = load(tmp_path / "own")
    assert found.metadata["config"].items() >= {"likelihood": "gaussian", "latent_dim": 3}.items()
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(found.encode(images).mean, model.encode(images).mean, atol=1e-5)
    found.save(tmp_path / "own.keras")
    keras.saving.load_model(tmp_path / "own.keras").export(tmp_path / "again")
    again = load(tmp_path / "again")
    np.testing.assert_allclose(again.encode(images).mean, model.encode(images).mean, atol=1e-5)
    tiny_cvae().export(tmp_path / "by_hand")
    with pytest.raises(UserError, match="networks were made by hand.*tf.saved_model.load"):
        load(tmp_path / "by_hand")
    written = tf.saved_model.load(str(tmp_path / "own"))
    assert {*written.signatures} - {"serving_default"} == {*FAMILIES["vae"].signatures(model)}
    images = written.signatures["sample"](num=tf.constant(2), seed=tf.constant([1, 2]))["images"]
    key = derived_key(tf.constant([1, 2]), Purpose.SAMPLES)
    np.testing.assert_allclose(images, model.sample(2, key), atol=1e-5)
    card = (tmp_path / "own" / "README.md").read_text(encoding="utf-8")
    assert "Made by cvae-tf: 3 latent dimensions." in card and "Data:" not in card
    with pytest.raises(UserError, match="own exists; choose another"):
        model.export(tmp_path / "own")
    with pytest.raises(ValueError, match="leave out input_signature"):
        model.export(tmp_path / "other", input_signature=[])
