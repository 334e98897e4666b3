import math
import shlex

import pytest
from conftest import create_run, tiny_cvae

from cvae_tf.config import Config
from cvae_tf.models.vae.objectives import Objective
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.training import screen
from cvae_tf.training.checkpoint_files import Progress
from cvae_tf.training.trainer import EpochResult


@pytest.fixture
def run(tmp_path, toy_dataset):
    return create_run(str(tmp_path / "run"), Config.create(latent_dim=7), toy_dataset)


def test_announcement_names_data_model_and_directory(run, capsys):
    screen.announce(run, Progress(epoch=3, steps_done=7, metrics=[]), ["Dented."])
    captured = capsys.readouterr()
    assert captured.err == "warning: Dented.\n"
    text = captured.out
    assert "resumed: in epoch 3 after 7 steps" in text
    for part in ("Invented.", "40 training images, 20 test", "7 latent", str(run.directory)):
        assert part in text


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("cat", "dog"), "Invented; classes: cat, dog (2)."),
        (tuple("abcdefg"), "Invented; classes: a, b, c, d, e, ... (7)."),
        (("x\ny", "z"), "Invented; classes: x\\ny, z (2)."),
        (None, "Invented."),
    ],
)
def test_the_line_of_the_data_names_classes(tmp_path, toy_dataset, capsys, names, shown):
    dataset = toy_dataset._replace(class_names=names)
    run = create_run(str(tmp_path / "run"), Config.create(latent_dim=7), dataset)
    screen.announce(run, Progress(epoch=1, steps_done=0, metrics=[]), [])
    assert capsys.readouterr().out.splitlines()[0] == f"data:    {shown}"


TERMS = {"elbo": -8.25, "log_likelihood": -6.5, "kl": 1.75}
GREY_TERMS = dict(zip(("pseudo_elbo", "negative_cross_entropy", "kl"), TERMS.values(), strict=True))


def _result(test, **train):
    return EpochResult(2, 10, {"elbo": -9.0, **train}, test, 1.5, 0.5, 1234.5)


def test_report_is_one_line_with_the_terms_of_the_elbo(capsys):
    screen.report(_result(TERMS), tiny_cvae(), epochs=3)
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert "epoch 2/3: test ELBO -8.25 = log-likelihood -6.50 - KL 1.75 nats/image; 1,2" in text


def test_report_shows_what_was_climbed_beside_the_elbo(capsys):
    model = tiny_cvae(objective=Objective(beta=0.5))
    screen.report(_result(TERMS, objective=-7.125), model, epochs=3)
    text = capsys.readouterr().out
    assert "test ELBO -8.25" in text and "training objective -7.12" in text


def test_report_of_256_levels_shows_bits_of_each_dimension(capsys):
    model = tiny_cvae()
    model.pixels = Pixels("none", "discretized_logistic")
    screen.report(_result(dict(TERMS, elbo=-36 * 5.93 * math.log(2))), model, epochs=3)
    assert " nats/image (5.93 bits/dim); " in capsys.readouterr().out


def test_report_of_grey_levels_speaks_of_cross_entropy(capsys):
    screen.report(_result(GREY_TERMS), tiny_cvae(binarize="none"), epochs=3)
    text = capsys.readouterr().out
    assert "pseudo-ELBO -8.25 = negative cross-entropy -6.50" in text
    assert "likelihood" not in text


def test_conclusion_names_the_files_that_there_are(run, capsys):
    (run.directory / "curves.png").touch()
    saved_model = run.directory / "export" / "1"
    screen.conclude(run, tiny_cvae(), saved_model)
    text = capsys.readouterr().out
    assert "curves.png" in text and "manifold.png" not in text
    assert str(saved_model) in text


def test_conclusion_calls_the_cross_entropy_no_likelihood(run, capsys):
    (run.directory / "curves.png").touch()
    screen.conclude(run, tiny_cvae(binarize="none"), run.directory / "export" / "1")
    text = capsys.readouterr().out
    assert "pseudo-ELBO" in text and "likelihood" not in text


def test_printed_paths_can_be_copied_into_a_shell(run, capsys):
    screen.conclude(run, tiny_cvae(), run.directory / "my export" / "1")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "--dir" in line]
    assert shlex.split(line)[-2] == str(run.directory / "my export" / "1")
