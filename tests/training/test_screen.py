"""What a run shows on the screen, and in TensorBoard."""

import importlib.util
import math
import shlex

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow as tf
from conftest import create_run, tiny_cvae
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cvae_tf import workflows
from cvae_tf.config import Config
from cvae_tf.core.errors import UserError
from cvae_tf.models.vae.objectives import Objective
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.training import screen, tensorboard
from cvae_tf.training.checkpoint_files import Progress
from cvae_tf.training.trainer import EpochResult


@pytest.fixture
def run(tmp_path, toy_dataset):
    return create_run(tmp_path / "my run", Config.create(latent_dim=7), toy_dataset)


def test_announcement_names_data_model_and_directory(run, capsys):
    for names, shown in (
        ((), "Invented."),
        (("x\ny", "dog"), "Invented; classes: x\\ny, dog (2)."),
        (tuple("abcdefg"), "Invented; classes: a, b, c, d, e, ... (7)."),
    ):
        run = run._replace(data={**run.data, "class_names": names})
        screen.announce(run, Progress(epoch=3, steps_done=7, metrics=[]), ["Dented."])
        told = capsys.readouterr()
        assert told.err == "warning: Dented.\n" and told.out.startswith(f"data:    {shown}\n")
        lines = ("40 training images, 20 test", "7 latent", str(run.directory))
        assert all(line in told.out for line in (*lines, "resumed: in epoch 3 after 7 steps"))


def test_a_run_that_goes_on_otherwise_says_how(capsys):
    said = {"constant": "stays constant.", "cosine": "now ends there;", "linear": "by a line."}
    for schedule in said:
        own = {"schedule": schedule, "early_stop": 2}
        before, after = Config.create(epochs=2, **own), Config.create(epochs=3, **own)
        screen.announce_changes(before, after)
        told = capsys.readouterr().out
        assert told.startswith("The run is extended from 2 to 3 epochs. ")
        assert said[schedule] in told and "--early_stop=2 counts the epochs before" in told
    screen.announce_changes(after, Config.create(epochs=3, data_path="/new.npz", **own))
    assert capsys.readouterr().out == "The images of the training are at /new.npz now.\n"


TERMS = {"elbo": -36 * 5.93 * math.log(2), "log_likelihood": -146.2, "kl": 1.75}
GREY = dict(zip(("pseudo_elbo", "negative_cross_entropy", "kl"), TERMS.values(), strict=True))
BITS = Pixels("none", "discretized_logistic")


@pytest.mark.parametrize(
    ("pixels", "test", "shown"),
    [
        (Pixels(), TERMS, "test ELBO -147.97 = log-likelihood -146.20 - KL 1.75 nats/image; "),
        (BITS, TERMS, "KL 1.75 nats/image (5.93 bits/dim); "),
        (Pixels("none"), GREY, "test pseudo-ELBO -147.97 = negative cross-entropy -146.20 - KL"),
    ],
)
def test_report_is_one_line_of_what_is_measured_and_climbed(capsys, pixels, test, shown):
    model = tiny_cvae(objective=Objective(beta=0.5))
    model.pixels = pixels
    train = dict.fromkeys(("elbo", "pseudo_elbo", "objective"), -7.125)
    screen.report(EpochResult(2, 10, train, test, 1.5, 0.5, 1234.5), model, epochs=3)
    told = capsys.readouterr().out
    assert told.count("\n") == 1 and told.startswith("epoch 2/3: ") and shown in told
    assert "training objective -7.12; 1,234 images/s, 2.0 s" in told
    assert ("likelihood" in told) == (test is TERMS)


@pytest.mark.parametrize(("binarize", "title"), [("threshold", " ELBO"), ("none", "pseudo-ELBO")])
def test_conclusion_names_the_files_that_there_are_and_what_to_do(run, capsys, binarize, title):
    (run.directory / "curves.png").touch()
    screen.conclude(run, tiny_cvae(binarize=binarize), run.directory / "export" / "1")
    told = capsys.readouterr().out
    assert "curves.png" in told and "manifold.png" not in told and title in told
    (line,) = [line for line in told.splitlines() if "--dir" in line]
    assert shlex.split(line)[-2] == str(run.directory / "export" / "1")


def test_tensorboard_reads_the_numbers_and_the_picture_of_an_epoch(tmp_path):
    picture, path = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3), tmp_path / "a.png"
    iio.imwrite(path, picture)
    board = tensorboard.Summaries(tmp_path / "events")
    for epoch in (1, 2):
        board.write({"epoch": epoch, "step": 5 * epoch, "test_elbo": -2.5 / epoch}, path)
    events = EventAccumulator(str(tmp_path / "events"), {"images": 0, "tensors": 0})
    events.Reload()
    assert set(events.Tags()["tensors"]) == {"test_elbo", "epoch"}
    elbos = events.Tensors("test_elbo")
    assert {each.step: tf.make_ndarray(each.tensor_proto) for each in elbos} == {1: -2.5, 2: -1.25}
    shown = iio.imread(tf.make_ndarray(events.Tensors("epoch")[-1].tensor_proto)[2])
    np.testing.assert_array_equal(shown, picture)


def test_missing_tensorboard_is_told_before_anything_else(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        workflows.train(dataset="digits", run_dir=tmp_path / "run", tensorboard=True)
    assert list(tmp_path.iterdir()) == []
