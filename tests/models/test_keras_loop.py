"""Keras' own loop refuses what does not fit a model, in whatever form it is given."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import binary_images, tiny_cvae

from cvae_tf.core.errors import UserError
from cvae_tf.models.gan.model import GAN
from cvae_tf.models.networks.building import GanNetworks, Options, build_networks
from cvae_tf.models.vae.model import CVAE

_NO_PIXELS = r"^images must lie in \[0, 1\], without NaN, as 8-bit ones divided by 255 do\.$"
_NO_CLASSES = r"^labels must be numbers of classes, from 0 to 2\.$"
_IMAGES = binary_images(20)
_LABELLED = np.pad(_IMAGES, ((0, 0), (1, 1), (1, 1), (0, 0)))
_LABELS = np.arange(20) % 3


def _with_pixel(value, number=17):
    """Images of which one, in the third batch of eight, has a pixel of this value."""
    images = _IMAGES.copy()
    images[number, 2, 3, 0] = value
    return images


class _Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, number):
        own = _with_pixel(2.0)[8 * number : 8 * number + 8]
        return own, np.zeros(len(own))


def _conditional():
    networks = build_networks(
        "mlp", (8, 8, 1), 2, seed=0, num_classes=3, options=Options(hidden=(4,))
    )
    model = CVAE(networks, num_classes=3)
    model.compile("adam")
    return model


def _tiny_gan():
    generator = [keras.Input((2,)), keras.layers.Dense(36, "sigmoid", name="a")]
    discriminator = [
        keras.Input((6, 6, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(1, name="b"),
    ]
    model = GAN(
        GanNetworks(
            keras.Sequential([*generator, keras.layers.Reshape((6, 6, 1))], name="generator"),
            keras.Sequential([*discriminator, keras.layers.Reshape(())], name="discriminator"),
        )
    )
    model.compile("adam")
    return model


@pytest.mark.parametrize("make", [tiny_cvae, _tiny_gan])
@pytest.mark.parametrize("value", [255.0, np.nan])
def test_pixels_of_a_later_batch_are_refused(make, value):
    model = make()
    with pytest.raises(UserError, match=_NO_PIXELS):
        model.fit(_with_pixel(value), batch_size=8, shuffle=False, verbose=0)
    assert int(model.steps) == 2
    with pytest.raises(UserError, match=_NO_PIXELS):
        model.evaluate(_with_pixel(value), batch_size=8, verbose=0)
    history = model.fit(_IMAGES, batch_size=8, verbose=0).history
    assert np.all(np.isfinite(list(history.values())))


def test_pixels_are_refused_in_every_form():
    images = _with_pixel(2.0)
    data = tf.data.Dataset.from_tensor_slices(images).batch(8)
    several = tiny_cvae()
    several.compile("adam", steps_per_execution=3)
    eager = tiny_cvae()
    eager.compile("adam", run_eagerly=True)
    model = tiny_cvae()
    ways = [
        lambda: model.fit(data, verbose=0),
        lambda: several.fit(data, verbose=0),
        lambda: eager.fit(data, verbose=0),
        lambda: model.fit(_Sequence(), verbose=0, shuffle=False),
        lambda: model.fit(((images[i : i + 8],) for i in (0, 8, 16)), verbose=0, shuffle=False),
        lambda: model.fit(_IMAGES, validation_data=(images,), verbose=0),
        lambda: model.train_on_batch(images),
        lambda: model.test_on_batch(images),
        lambda: model.predict(images, verbose=0),
        lambda: model.predict(data, verbose=0),
    ]
    for way in ways:
        with pytest.raises(UserError, match=_NO_PIXELS):
            way()


def test_a_refused_batch_changes_nothing():
    model = tiny_cvae()
    before = [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]
    for value in (np.nan, np.inf, -np.inf, -0.001, 1.001):
        with pytest.raises(UserError, match=_NO_PIXELS):
            model.train_on_batch(_with_pixel(value))
    after = (*model.variables, *model.optimizer.variables)
    for variable, value in zip(after, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_xla_compiles_the_step_and_leaves_no_check_out():
    model = tiny_cvae()
    model.compile("adam", jit_compile=True)
    for refused in (model.train_on_batch, model.test_on_batch, model.predict):
        with pytest.raises(UserError, match=_NO_PIXELS):
            refused(_with_pixel(255.0))
    assert model.jit_compile


@pytest.mark.slow
def test_xla_still_compiles_the_step():
    model = tiny_cvae()
    model.compile("adam", jit_compile=True)
    assert np.isfinite(model.fit(_IMAGES, batch_size=10, verbose=0).history["elbo"][0])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (_IMAGES[..., 0], r"^images of shape \(.*, 6, 6\) do not fit .* \[B, 6, 6, 1\]\.$"),
        (np.repeat(_IMAGES, 3, axis=-1), r"^images of shape .* do not fit"),
        ((_IMAGES * 255).astype(np.uint8), r"^images are uint8; images must lie in \[0, 1\]"),
        (_IMAGES.astype(np.int64), r"^images are int64; images must lie in \[0, 1\]"),
    ],
)
def test_images_of_another_form_are_refused(images, message):
    for given in (images, tf.data.Dataset.from_tensor_slices(images).batch(8)):
        with pytest.raises(UserError, match=message):
            tiny_cvae().fit(given, verbose=0)


def test_floats_of_other_widths_and_bool_are_taken():
    expected = tiny_cvae().fit(_IMAGES, shuffle=False, verbose=0).history
    for kind in (np.float64, bool):
        data = tf.data.Dataset.from_tensor_slices(_IMAGES.astype(kind)).batch(32)
        assert tiny_cvae().fit(data, verbose=0).history == expected


def test_what_is_no_label_is_refused():
    model = _conditional()
    others = (_LABELS - 1, np.where(_LABELS == 1, 99, _LABELS), _LABELS + 0.5, _LABELS * np.nan)
    for labels in (*others, _LABELS > 0):
        for use in (model.fit, model.evaluate):
            with pytest.raises(UserError, match=_NO_CLASSES):
                use(_LABELLED, labels, verbose=0)
    with pytest.raises(UserError, match="^labels must be as many as there are images.$"):
        model.fit(_LABELLED, np.eye(3)[_LABELS], verbose=0)


def test_labels_may_be_whole_floats_and_columns():
    expected = _conditional().fit(_LABELLED, _LABELS, shuffle=False, verbose=0).history
    found = _conditional().fit(_LABELLED, _LABELS[:, None] / 1.0, shuffle=False, verbose=0).history
    assert found == expected
    pairs = tf.data.Dataset.from_tensors(((_LABELLED, _LABELS),))
    assert _conditional().predict(pairs, verbose=0).shape == _LABELLED.shape


def test_our_own_trainer_pays_for_no_check():
    model = tiny_cvae()
    step = tf.function(model.train_step).get_concrete_function(tf.constant(_IMAGES))
    definition = step.graph.as_graph_def()
    nodes = [
        *definition.node,
        *(node for each in definition.library.function for node in each.node_def),
    ]
    assert len(nodes) > 50 and not {node.op for node in nodes} & {"Assert", "CheckNumerics"}
