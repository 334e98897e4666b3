import dataclasses
import sys

import pytest

from cvae_tf.config import Config
from cvae_tf.training import run_directory, screen
from cvae_tf.training.checkpoints import Progress
from cvae_tf.training.trainer import EpochResult, Evaluation


@pytest.fixture
def run(tmp_path, toy_dataset):
    return run_directory.create_run(str(tmp_path / "run"), Config.create(latent_dim=7), toy_dataset)


def test_announcement_names_data_model_and_directory(run, capsys):
    screen.announce(run, Progress(epoch=3, steps_done=7, metrics=[]), ["Dented."])
    captured = capsys.readouterr()
    assert captured.err == "warning: Dented. The next older checkpoint is used.\n"
    text = captured.out
    assert "resumed: in epoch 3 after 7 steps" in text
    for part in ("Invented.", "40 training images, 20 test", "7 latent", str(run.directory)):
        assert part in text


def test_report_is_one_line_with_the_terms_of_the_elbo(capsys):
    result = EpochResult(2, 10, -9.0, None, Evaluation(-8.25, -6.5, 1.75), 1.5, 0.5, 1234.5)
    screen.report(result, Config.create(epochs=3))
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert "epoch 2/3: test ELBO -8.25 = log-likelihood -6.50 - KL 1.75 nats/image; 1,2" in text


def test_report_shows_what_was_climbed_beside_the_elbo(capsys):
    result = EpochResult(2, 10, -9.0, -7.125, Evaluation(-8.25, -6.5, 1.75), 1.5, 0.5, 1234.5)
    screen.report(result, Config.create(beta=0.5))
    text = capsys.readouterr().out
    assert "test ELBO -8.25" in text and "training objective -7.12" in text


def test_report_of_grey_levels_speaks_of_cross_entropy(capsys):
    result = EpochResult(1, 10, -9.0, None, Evaluation(-8.25, -6.5, 1.75), 1.5, 0.5, 1234.5)
    screen.report(result, Config.create(binarize="none"))
    text = capsys.readouterr().out
    assert "pseudo-ELBO -8.25 = negative cross-entropy -6.50" in text
    assert "likelihood" not in text


def test_conclusion_names_the_files_that_there_are(run, capsys):
    (run.directory / "curves.png").touch()
    saved_model = run.directory / "export" / "1"
    screen.conclude(run, saved_model)
    text = capsys.readouterr().out
    assert "curves.png" in text and "manifold.png" not in text
    assert str(saved_model) in text


def test_conclusion_calls_the_cross_entropy_no_likelihood(run, capsys):
    (run.directory / "curves.png").touch()
    grey = run._replace(config=dataclasses.replace(run.config, binarize="none"))
    screen.conclude(grey, run.directory / "export" / "1")
    text = capsys.readouterr().out
    assert "pseudo-ELBO" in text and "likelihood" not in text


def test_no_bar_goes_to_a_file(capsys):
    screen.EpochProgress(5).show(5, -1.0)
    assert capsys.readouterr().out == ""


def test_bar_is_drawn_anew_for_each_epoch_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    progress = screen.EpochProgress(5)
    for step in (3, 5, 3, 5):
        progress.show(step, -7.5)
    text = capsys.readouterr().out
    assert text.count("5/5") == 2 and "train_elbo: -7.5" in text
