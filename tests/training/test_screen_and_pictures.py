"""What a run shows of itself: on the screen, in its pictures, in TensorBoard."""

import importlib.util
import math

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow as tf
from helpers import create_run, tiny_cvae, tiny_images
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cvae_tf import api
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.data import batches
from cvae_tf.data.datasets import Split
from cvae_tf.data.inspection import choose_shown
from cvae_tf.drawing.mosaics import normal_quantile_grid
from cvae_tf.models import family_of
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.training import pictures, run_training
from cvae_tf.training.checkpoints import Progress
from cvae_tf.training.run_directory import Run


def test_announcement_names_data_classes_and_directory(tmp_path, toy_dataset, capsys):
    run = create_run(tmp_path / "my run", Config.create(), toy_dataset)
    run = run._replace(data={**run.data, "class_names": ("x\ny", *"bcdefg")})
    run_training.announce(run, Progress(epoch=3, steps_done=7, metrics=[]))
    told = capsys.readouterr().out
    assert told.startswith("data:    Invented. 7 classes: x\\ny, b, c, d, e and 2 more.\n")
    assert str(run.directory) in told
    assert "40 training images" in told and "resumed: in epoch 3 after 7 steps" in told


@pytest.mark.parametrize(
    ("elbos", "early_stop", "said"),
    [
        ((-9, -5, -4, -6, -7), 0, "at epoch 3, worse since: a new run with --early_stop=1 ends"),
        ((-5, -6), 0, "at epoch 1, worse since: a new run with --early_stop=1 ends"),
        ((-9, -5, -4, -4.01, -4.02), 0, None),  # by less than a hundredth of what was won
        ((*range(-30, -9), -12), 0, None),  # only since the last of many epochs
        ((-9, -5, -4, -6), 5, "Epoch 3 was the best on the test images, and is exported."),
        ((-9, -5), 5, None),
    ],
)
def test_the_end_says_which_epoch_was_the_best(elbos, early_stop, said, capsys):
    rows = [{"epoch": number, "test_elbo": elbo} for number, elbo in enumerate(elbos, start=1)]
    run_training._report_best(Config.create(early_stop=early_stop), rows, tiny_cvae(), False)
    told = capsys.readouterr().out
    assert told.count("\n") == 1 and said in told if said else not told


def test_the_result_is_told_beside_the_first_and_the_best_in_bits_if_levels_are_learned():
    taken, model = {"train_seconds": 40, "test_seconds": 1, "train_elbo": -5.0}, tiny_cvae()
    elbos = enumerate((-50.0, -12.0, -15.5), start=1)
    rows = [{"epoch": number, "test_elbo": elbo, **taken} for number, elbo in elbos]
    notes = "(epoch 1: -50.00; best, epoch 2: -12.00; higher is better)"
    told = f"test ELBO -15.50 nats per image after 3 epochs in 2 min {notes}"
    assert run_training._result(model, rows) == told
    model.pixels = Pixels("none", "discretized_logistic")  # of 6 x 6 pixels
    told = "test 2.00 bits/dim after one epoch in 41 s (lower is better)"
    assert run_training._result(model, [{**rows[0], "test_elbo": -72 * math.log(2)}]) == told
    figures = family_of(model).other_figures(model, {**rows[1], "test_elbo": -36 * math.log(2)})
    assert figures == {"train_bits_per_dim": 0.2004, "test_bits_per_dim": 1.0}


def test_of_many_epochs_few_have_a_line_and_a_picture_and_where_a_run_ends_is_one(tmp_path):
    for epochs, shown in ((40, 40), (60, 60), (200, 51), (301, 52)):
        among = [epoch for epoch in range(1, epochs + 1) if pictures.is_among(epoch, epochs, 60)]
        assert (len(among), among[0], among[-1]) == (shown, 1, epochs)
    config = Config.create(epochs=300, early_stop=2)
    run, rows = Run(tmp_path, config, {}), [{"epoch": 7, "test_elbo": -1.0}]
    for epoch, is_drawn in ((8, False), (9, True)):  # no better one in two epochs
        rows.append({"epoch": epoch, "test_elbo": -2.0})
        assert run_training._has_picture(run, rows, tiny_cvae()) is is_drawn


def test_pictures_show_the_same_of_each_epoch_and_in_the_end_all_test_images(
    tmp_path, toy_dataset, monkeypatch
):
    """The grid decoded, all test images encoded, here in parts of eight."""
    monkeypatch.setattr(batches, "_PIXELS_AT_ONCE", 8 * 6 * 6)
    drawn = {}  # what would have been drawn, by the name of the function
    for name in ("draw_panels", "draw_manifold", "draw_latents", "draw_curves", "animate"):
        monkeypatch.setattr(pictures, name, lambda *given, name=name: drawn.update({name: given}))
    images, labels, model = tiny_images(50, seed=1), np.arange(50) // 25, tiny_cvae(seed=2)
    images[:8] //= 128  # a part that is nearly black
    dataset = toy_dataset._replace(test=Split(images, labels), class_names=("cat", "dog"))
    run = create_run(tmp_path / "run", Config.create(), dataset)
    drawing, found = pictures.RunPictures(run, model, dataset), []
    for epoch in (3, 4):
        drawing.draw_epoch(epoch, {"elbo": -12.345})
        path, (samples, pairs), title = drawn["draw_panels"]
        assert (path, "test ELBO -12.3" in title) == (run.epoch_image(epoch), True)
        found.append(samples.sets[0])
    assert found[0].shape == (64, 6, 6, 1) and np.array_equal(*found)
    for epoch in (3, 4):
        run.epoch_image(epoch).touch()
    for epoch, is_drawn in ((4, False), (5, True)):  # of many epochs few have a picture
        drawn.clear()
        drawing.draw_exported({"epoch": epoch, "test_elbo": -9.0})
        assert ("draw_panels" in drawn) is is_drawn
    pictures.animate_epochs(run, tmp_path / "a.gif", last=3)  # the exported one
    assert drawn["animate"] == ([run.epoch_image(3)], tmp_path / "a.gif")
    originals, reconstructions = pairs.sets
    np.testing.assert_array_equal(originals, images[choose_shown(labels, 50, 32)] > 127)
    np.testing.assert_allclose(reconstructions, model(originals), rtol=1e-5)

    drawing.draw_summary([{"epoch": 1}])
    latents = normal_quantile_grid(3)
    decoded = 1 / (1 + np.exp(-model.decoder(latents).numpy()))
    np.testing.assert_allclose(drawn["draw_manifold"][1](latents), decoded, rtol=1e-5)
    _, means, shown, _, names = drawn["draw_latents"]
    expected = model.encoder((images > 127).astype(np.float32)).numpy()[:, :2]
    np.testing.assert_allclose(means, expected, rtol=1e-4, atol=1e-6)
    assert np.array_equal(shown, labels) and names == ("cat", "dog")
    assert drawn["draw_curves"][1] == [{"epoch": 1}]


def test_tensorboard_reads_the_numbers_and_the_picture_of_an_epoch(tmp_path):
    picture, path = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3), tmp_path / "a.png"
    iio.imwrite(path, picture)
    writer = tf.summary.create_file_writer(str(tmp_path / "events"))
    run_training._write_events(writer, {"epoch": 2, "step": 10, "test_elbo": -1.25}, path)
    events = EventAccumulator(str(tmp_path / "events"), {"images": 0, "tensors": 0})
    events.Reload()
    assert set(events.Tags()["tensors"]) == {"test_elbo", "epoch"}
    (elbo,) = events.Tensors("test_elbo")
    assert (elbo.step, tf.make_ndarray(elbo.tensor_proto)) == (2, -1.25)
    shown = iio.imread(tf.make_ndarray(events.Tensors("epoch")[-1].tensor_proto)[2])
    np.testing.assert_array_equal(shown, picture)


def test_missing_tensorboard_is_told_before_anything_else(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        api.train(dataset="digits", run_dir=tmp_path / "run", tensorboard=True)
    assert list(tmp_path.iterdir()) == []
