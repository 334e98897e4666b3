import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import METADATA, binary_images, tiny_cvae, tiny_images
from tensorflow.python.framework.func_graph import FuncGraph

from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key, normal_of_images
from cvae_tf.data import batches
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.picture_store import MappedImages
from cvae_tf.exporting.formats import write_model
from cvae_tf.models import family_of
from cvae_tf.models.optimizers import build_optimizer
from cvae_tf.models.vae.objectives import Objective
from cvae_tf.training import building, trainer
from cvae_tf.training.trainer import EpochResult, Trainer, averaged


def _dataset(images, labels=None):
    split = Split(images, labels)
    return Dataset("toy", "Invented.", split, split)


# What training shows to a model


def _shown(model, dataset, epochs=2, batch_size=8, values=lambda step: 1.0, **options):
    """The batches that a model gets, which counts them and learns nothing."""
    found = []

    def train_step(batch):
        parts = batch if isinstance(batch, tuple) else (batch,)
        tf.py_function(lambda *arrays: found.append([each.numpy() for each in arrays]), parts, [])
        model.means["elbo"].update_state(values(model.steps.value))
        model.optimizer.iterations.assign_add(1)
        return {"elbo": model.means["elbo"].result()}

    model.train_step = train_step
    own = Trainer(model, dataset, batch_size, **options)
    own.evaluate = lambda: {family_of(model).test_measures(model)[0].name: 0.0}
    list(own.run_epochs(epochs))
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def test_an_epoch_shows_images_once_with_their_labels_in_an_order_of_its_own():
    """Of twenty images four are left over, others in each epoch."""
    levels, orders = 10 * np.arange(20, dtype=np.uint8), []
    images = np.tile(levels[:, None, None, None], (1, 6, 6, 1))
    for seed in (1, 1, 2):
        model = tiny_cvae(seed, binarize="none")
        model.num_classes = 20
        shown, labels = _shown(model, _dataset(images, np.arange(20)))
        assert shown.shape == (32, 6, 6, 1)
        np.testing.assert_allclose(shown[:, 3, 2, 0] * 255, 10 * labels, atol=1e-4)
        orders.append([tuple(epoch) for epoch in labels.reshape(2, 16)])
    assert all(len(set(epoch)) == 16 for epochs in orders for epoch in epochs)
    assert orders[0] == orders[1] != orders[2]
    assert set(orders[0][0]) != set(orders[0][1])


def test_dynamic_pixels_are_drawn_anew_at_each_visit():
    dataset = _dataset(np.full((20, 6, 6, 1), 64, np.uint8))
    (visits,) = _shown(tiny_cvae(binarize="dynamic"), dataset, batch_size=10)
    assert visits.shape == (40, 6, 6, 1) and set(np.unique(visits)) == {0, 1}
    assert abs(visits.mean() - 64 / 255) < 5 * np.sqrt(0.19 / visits.size)
    assert len(np.unique(visits.reshape(40, -1), axis=0)) == 40


def test_images_are_mirrored_and_warped_by_chance():
    image = tiny_images(1)[0]
    dataset = _dataset(np.stack([image] * 16))
    (mirrored,) = _shown(tiny_cvae(binarize="none"), dataset, flip=True)
    (warped,) = _shown(tiny_cvae(binarize="none"), dataset, augment=1.0)
    white = _dataset(np.full_like(dataset.train.images, 255))
    (paper,) = _shown(tiny_cvae(binarize="none"), white, augment=1.0)
    grey = (image / 255.0).astype(np.float32)
    assert 8 < np.isclose(mirrored, grey, atol=1e-6).all(axis=(1, 2, 3)).sum() < 24
    assert len(np.unique(warped.reshape(32, -1), axis=0)) == 32
    assert 0.01 < np.abs(warped - grey).mean() < 0.3 and paper.min() > 0.999


def test_a_figure_that_is_not_finite_stops_training_at_its_step(tiny_model):
    def values(step):
        return tf.where(step == 2, float("nan"), 1.0)

    with pytest.raises(UserError, match="epoch 1, step 3: the training ELBO is nan.*checkpoints"):
        _shown(tiny_model, _dataset(tiny_images(40)), values=values)
    assert int(tiny_model.steps.numpy()) == 3


# What comes of it


def test_evaluation_weighs_each_image_alike_by_the_averaged_weights(monkeypatch):
    """Twenty images, from memory and from the disk, of which the last four are unlike the others.

    They are in a batch and a part of their own.
    """
    monkeypatch.setattr(trainer, "_EVALUATION_BATCH", 8)
    monkeypatch.setattr(batches, "_PART_BYTES", 1)
    images = tiny_images(20)
    images[16:] = 255
    model = tiny_cvae(seed=5, optimizer=build_optimizer(0.1, ema=0.8))
    for _ in range(3):
        model.train_step(tf.constant(binary_images(8)))
    noise = normal_of_images(derived_key(5, Purpose.EVALUATION_NOISE), 0, 20, 2)
    with averaged(model):
        pixels = (images > 127).astype(np.float32)
        terms, _ = model.terms_with_noise(pixels, model.encode(pixels), noise)
    own = Trainer(model, _dataset(images), 4, augment=1.0, flip=True)
    found = own.evaluate()
    for name in ("log_likelihood", "kl"):
        assert found[name] == pytest.approx(np.mean(getattr(terms, name)), rel=1e-5)
    assert found["elbo"] == pytest.approx(found["log_likelihood"] - found["kl"], rel=1e-12)
    assert own.evaluate() == found
    in_parts = _dataset(MappedImages(images, np.arange(20)))
    assert Trainer(model, in_parts, 4).evaluate() == found


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        ({"objective": Objective("iwae", 3)}, "train_elbo train_objective test_elbo"),
        ({"binarize": "none"}, "train_pseudo_elbo test_pseudo_elbo test_negative_cross_entropy"),
    ],
)
def test_rows_have_what_is_climbed_and_what_is_measured(toy_dataset, options, columns):
    model = tiny_cvae(**options)
    train = Trainer(model, toy_dataset, 8)._train_means()
    test = {measure.name: -1.23456 for measure in family_of(model).test_measures(model)}
    row = EpochResult(2, 10, train, test, 1.23456, 2.0, 3.0).as_row()
    assert list(row)[:5] == ["epoch", "step", *columns.split()]
    assert list(row.values())[:2] == [2, 10] and row["test_kl"] == -1.2346


def test_every_setting_of_a_model_reaches_what_it_is_for():
    config = Config.create(
        dataset="digits", network="mlp", hidden="30,20", activation="silu", dropout=0.2, seed=4,
        denoise=0.3, latent_dim=3, conditional=True, precision="mixed_bfloat16", jit=True,
        objective="iwae", importance_samples=4, beta=0.7, kl_warmup_epochs=2, free_bits=0.1,
        binarize="none", likelihood="gaussian", sampler="mixture", batch_size=8, epochs=5,
        optimizer="adamw", learning_rate=0.5, schedule="cosine", warmup_steps=3, ema=0.9,
        weight_decay=0.1, clip_norm=2.0,
    )  # fmt: skip
    model = building.build_model(config, (28, 28, 1), 80, num_classes=10)
    assert (model.image_shape, model.latent_dim, model.num_classes) == ((28, 28, 1), 3, 10)
    assert (model.seed, model.input_noise, model.sampler_name) == (4, 0.3, "mixture")
    assert model.objective == Objective("iwae", 4, 0.7, 20, 0.1, config.shared_latents)
    assert tuple(model.pixels) == ("none", "gaussian") and model.jit_compile is True
    kinds = {type(layer).__name__: layer for layer in model.encoder._flatten_layers()}
    assert kinds["Dropout"].rate == 0.2
    dense = [layer for layer in model.encoder.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [30, 20, 6]
    assert dense[0].activation is keras.activations.silu and dense[0].compute_dtype == "bfloat16"
    optimizer = model.optimizer
    assert type(optimizer).__name__ == "AdamW" and optimizer.use_ema
    found = (optimizer.ema_momentum, optimizer.weight_decay, optimizer.global_clipnorm)
    assert found == (0.9, 0.1, 2.0)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 3, 50)]
    assert rates == pytest.approx([0.0, 0.5, 0.0], abs=1e-6)  # ten steps in an epoch


# Many trainings in one process: what belonged to one does not outlive it.


@pytest.mark.slow
def test_graphs_of_a_training_that_was_exported_go_with_it(tmp_path, toy_dataset):
    counts = []
    for number in range(3):
        model = tiny_cvae(optimizer=build_optimizer(0.01))
        list(Trainer(model, toy_dataset, 8).run_epochs(1))
        write_model(model, "saved_model", tmp_path / str(number), METADATA)
        gc.collect()
        counts.append(sum(isinstance(thing, FuncGraph) for thing in gc.get_objects()))
    assert counts[1] == counts[2]


def test_a_new_model_takes_the_place_of_one_that_nobody_holds():
    gc.disable()  # it comes when it likes
    try:
        config = Config.create(network="mlp", hidden="8")
        first = weakref.ref(building.build_model(config, (8, 8, 1), 64))
        assert first() is not None
        building.build_model(config, (8, 8, 1), 64)
        assert first() is None
    finally:
        gc.enable()
