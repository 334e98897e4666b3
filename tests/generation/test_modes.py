"""What each mode of `generate.py` makes, by a model whose images show its latents."""

import csv

import imageio.v3 as iio
import numpy as np
import pytest
from generation_helpers import (
    IMAGES,
    LABELS,
    Drawer,
    HalvesModel,
    halves_of,
    logits,
    refined_scores,
)
from generation_helpers import make as make_with
from helpers import run_script
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.data import batches
from cvae_tf.drawing.image_pages import normal_quantile_grid
from cvae_tf.generation import modes
from cvae_tf.generation.modes import MODES
from cvae_tf.inference import anomalies as scoring

SCORES = -(IMAGES / 255).sum((1, 2, 3)) - 1 + 0.001 * 8


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes what is asked for in a folder that holds two files of images."""
    monkeypatch.setattr(scoring, "refined_scores", refined_scores)
    monkeypatch.chdir(tmp_path)
    np.savez("images.npz", x_test=IMAGES, y_test=LABELS)
    np.savez("bare.npz", x_test=IMAGES)

    def call(mode, model=HalvesModel, **settings):
        if "data_path" in MODES[mode].settings and "encode" in model.abilities:
            settings = {"data_path": "images.npz"} | settings
        return make_with(model(), mode, tmp_path / "out", **settings)

    return call


def _tiles(path, rows, columns):
    """The grey levels of the left and right halves of each image of a mosaic."""
    picture = iio.imread(path, mode="L") / 255
    scale = picture.shape[1] / (10 * columns - 2)  # 8 pixels, and 2 between neighbours
    middles = [int((10 * row + 4) * scale) for row in range(rows)]
    halves = [int((10 * column + x) * scale) for column in range(columns) for x in (2, 6)]
    return picture[np.ix_(middles, halves)].reshape(rows, columns, 2)


def test_samples_are_a_square_or_a_file_each(make):
    expected = HalvesModel().sample(9, 4)
    made = make("samples", num=9, seed=4)
    np.testing.assert_array_equal(made.arrays["images"], expected)
    found = _tiles(made.files[0], 3, 3)
    np.testing.assert_allclose(found, halves_of(expected).reshape(3, 3, 2), atol=0.01)
    paths = make("samples", num=9, seed=4, individual=True).files
    assert [path.name for path in paths] == [f"sample_{i:06d}.png" for i in range(9)]
    written = [iio.imread(path) / 255 for path in paths]
    np.testing.assert_allclose(written, expected[..., 0], atol=0.003)


def test_the_manifold_is_a_grid_of_latents(make):
    expected = HalvesModel().decode(normal_quantile_grid(20, 20))
    np.testing.assert_array_equal(make("manifold").arrays["images"], expected)


def test_originals_of_all_classes_stand_over_reconstructions(make):
    order = np.argsort(LABELS, kind="stable")  # four of one class, then two of the other
    np.savez("images.npz", x_test=IMAGES[order], y_test=LABELS[order])
    made = make("reconstruct", num=4)
    grey = IMAGES[order][[0, 2, 4, 5]] / 255
    np.testing.assert_allclose(made.arrays["originals"], grey, atol=1e-6)
    both = halves_of(np.stack([grey, HalvesModel().reconstruct(grey)]))
    np.testing.assert_allclose(_tiles(made.files[0], 2, 4), both, atol=0.01)


def test_interpolation_is_straight_in_the_latent_space(make):
    made = make("interpolate", start="2", end="-2,2")
    first, last = HalvesModel().encode(IMAGES[[2]] / 255).mean[0], np.array([-2, 2])
    strip = _tiles(made.files[0], 1, 10)[0]
    for num, halves in ((10, strip), (40, halves_of(made.arrays["images"]))):
        shares = np.linspace(0, 1, num)[:, None]
        expected = 1 / (1 + np.exp(-(first * (1 - shares) + last * shares)))
        np.testing.assert_allclose(halves, expected, atol=0.005)
    with Image.open(made.files[1]) as animation:
        assert animation.n_frames > 70  # there and back


@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_neighbours_lie_as_far_away_as_asked(make, spread):
    made = make("neighbours", index=1, num=399, spread=spread, seed=1)
    first = _tiles(made.files[0], 20, 20)[0, 0]
    np.testing.assert_allclose(first, [60 / 255, 160 / 255], atol=0.01)
    latents = logits(halves_of(made.arrays["images"]))[:, 1]
    mean = HalvesModel().encode(IMAGES[1:2] / 255).mean[0, 1]
    assert latents.mean() == pytest.approx(mean, abs=0.1)
    assert latents.std() == pytest.approx(spread * np.exp(-2), rel=0.15, abs=1e-3)


def test_one_seed_gives_each_mode_noise_of_its_own(make):
    found = []
    for mode, more in (("neighbours", {}), ("class", {"label": "0"}), ("samples", {})):
        of_mode = logits(halves_of(make(mode, num=400, seed=3, **more).arrays["images"]))
        found.append((of_mode - of_mode.mean(axis=0)).ravel())
    assert np.abs(np.corrcoef(found) - np.eye(3)).max() < 0.2


@pytest.mark.parametrize(
    ("names", "label", "lit"),
    [
        (["cat", "7"], "1", 1),
        (["1", "0"], "1", 0),
        (["e\u0301", "b"], "\u00e9", 0),
    ],
)
def test_images_of_a_label_are_like_its_examples(make, names, label, lit):
    """Labels are found by name, however written, and where nothing is called so, by number."""
    np.savez("named.npz", x_test=IMAGES, y_test=LABELS, class_names=names)
    halves = halves_of(make("class", data_path="named.npz", label=label, num=4).arrays["images"])
    assert np.all(halves[:, lit] > 0.5) and np.all(halves[:, 1 - lit] < 0.4)


def test_typical_examples_come_first():
    means = np.random.default_rng(0).normal(size=(40, 2))
    is_wanted = np.arange(40) < 20
    means[is_wanted & (np.arange(40) != 3)] += 9
    assert modes.typical_examples(means, is_wanted)[-1] == 3  # which is among others


def test_noise_is_added_and_explained(make):
    made = make("denoise", num=4, noise=0.2)
    clean = IMAGES[[0, 1, 3, 4]] / 255
    flipped = np.isclose(made.arrays["noisy"], 1 - clean)
    assert np.all(flipped | np.isclose(made.arrays["noisy"], clean))
    assert 0.1 < flipped.mean() < 0.3
    tiles = _tiles(made.files[0], 3, 4)  # clean, noisy, explained
    np.testing.assert_allclose(tiles[0], halves_of(clean), atol=0.01)
    np.testing.assert_array_equal(tiles[2] > 0.5, halves_of(clean) > 0.5)
    found = make("denoise", num=4).arrays["noisy"]  # as they were given
    np.testing.assert_allclose(found, clean, atol=1e-6)


def test_samples_stand_over_the_nearest_training_images(make, monkeypatch):
    monkeypatch.setattr(batches, "_PIXELS_AT_ONCE", 7 * 64)  # seven training images at a time
    training = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    np.savez("own.npz", x_train=training, x_test=training[:5] // 2)
    metadata = {
        "config": {"data_path": "own.npz", "seed": 0},
        "data": {"name": "own", "key": None, "sha256": None},
        "black_and_white": True,
    }
    monkeypatch.setattr(HalvesModel, "metadata", metadata)
    made = make("nearest", data_path=None, num=9, seed=2)
    drawn, own = made.arrays["images"] > 0.5, training > 127  # as the model knows them
    distances = (drawn[:, None] != own).sum(axis=(2, 3, 4))
    np.testing.assert_array_equal(made.arrays["rows"], distances.argmin(axis=1))
    np.testing.assert_allclose(made.arrays["squared_distances"], distances.min(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(made.arrays["nearest"], own[distances.argmin(axis=1)])
    of_pixel = np.sqrt(np.median(distances.min(axis=1)) / 64)
    assert f"samples {of_pixel:.3f}, test images" in made.notes[0]


@pytest.mark.parametrize(
    ("settings", "column", "expected"),
    [
        ({}, "elbo_nats", SCORES),
        ({"score": "refined"}, "refined_elbo_nats", SCORES + 50),  # the usual five steps
        ({"score": "regret", "refine": 1}, "elbo_minus_refined_elbo_nats", np.full(6, -10.0)),
    ],
)
def test_images_are_sorted_by_the_score_that_is_asked_for(make, settings, column, expected):
    made = make("anomalies", num=2, **settings)
    header, *rows = csv.reader(made.files[1].read_text().splitlines())
    order = np.argsort(expected)
    assert header == ["name", column] and [row[0] for row in rows] == [str(i) for i in order]
    np.testing.assert_allclose([float(row[1]) for row in rows], expected[order], atol=2e-3)
    np.testing.assert_allclose(made.arrays["scores"], expected, rtol=1e-5)
    np.testing.assert_allclose(made.arrays["images"], IMAGES[order[:2]] / 255, atol=1e-6)


class KnowingHalves(HalvesModel):
    """Knows scores of nine usual images: a tenth is the least share that it can tell."""

    def mean_scores(self, images, seed=0, num_samples=8, labels=None):
        return {"elbo": np.array([3, 1, np.nan, 2, 5, 4])}

    def p_values(self, scores, kind="elbo"):
        return np.fmax(scores, 1) / 10


def test_images_are_marked_at_the_rate_that_is_asked_for(make):
    made = make("anomalies", KnowingHalves, score="elbo", false_alarms=0.3)
    header, *rows = csv.reader(made.files[1].read_text().splitlines())
    assert header == ["name", "elbo_nats", "p_value", "marked"]
    assert rows[0] == ["2", "nan", "0.10000", "yes"]  # no number: the most unusual of all
    assert [row[0] for row in rows] == ["2", "1", "3", "0", "5", "4"]
    assert [row[3] for row in rows] == ["yes"] * 4 + ["no"] * 2
    assert made.notes[0].startswith("4 of 6 images are marked, 66.67%; of usual images at most 30")
    with pytest.raises(UserError, match="^--false_alarms=0.05: with 9 usual .* be told is 0.1"):
        make("anomalies", KnowingHalves, score="elbo", false_alarms=0.05)


def test_modes_that_refine_use_the_refined_posteriors(make):
    means = logits(halves_of(IMAGES / 255)) + 0.3
    both = make("reconstruct", num=6, refine=3).arrays
    np.testing.assert_allclose(both["images"], HalvesModel().decode(means), atol=1e-5)
    np.testing.assert_allclose(both["encoders_images"], IMAGES / 255, atol=0.003)
    pixels = (IMAGES[..., 0] > 127).reshape(6, 64)
    for name, latents in (("", means), ("encoders_", means - 0.3)):
        odds = HalvesModel().parameters(latents).reshape(6, 64)
        expected = np.sum(pixels * odds - np.logaddexp(0, odds), axis=1)
        np.testing.assert_allclose(both[f"{name}log_likelihood"], expected, rtol=1e-4)
    with np.load(make("latents", refine=3).files[0]) as written:
        np.testing.assert_allclose(written["mean"], means, rtol=1e-5)
        covariance = HalvesModel.factor @ HalvesModel.factor.T
        np.testing.assert_allclose(written["covariance"], [covariance] * 6, rtol=1e-5)


def test_files_have_what_is_known_of_each_image(make):
    names = np.array(["cat", "fox"])
    np.savez("images.npz", x_test=IMAGES, y_test=LABELS, class_names=names)
    for path, labels in (("images.npz", names[LABELS].tolist()), ("bare.npz", None)):
        made = make("latents", data_path=path)
        archive, table = made.files
        with np.load(archive) as arrays:
            assert set(arrays) == {"mean", "logvar", "elbo", *(["label"] if labels else [])}
            found = arrays["label"].tolist() if labels else None
            for name, expected in made.arrays.items():
                np.testing.assert_array_equal(arrays[name], expected)
        rows = list(csv.DictReader(table.read_text().splitlines()))
        assert found == labels and [row.get("label") for row in rows] == (labels or [None] * 6)
        assert [row["name"] for row in rows] == [str(i) for i in range(6)]
        columns = ["elbo_nats", "mean_1", "mean_2", "logvar_1", "logvar_2"]
        values = [[float(row[column]) for column in columns] for row in rows]
        expected = [made.arrays[name] for name in ("elbo", "mean", "logvar")]
        np.testing.assert_allclose(values, np.column_stack(expected), rtol=1e-6)


class NoEncoder(HalvesModel):
    abilities = ("sample", "decode")


class ThreeLatents(HalvesModel):
    latent_dim = 3


@pytest.mark.parametrize(
    ("mode", "settings", "message"),
    [
        ("samples", {"num": 10_001}, "10000 images at most; --mode=samples --individual"),
        ("samples", {"label": "7"}, "--label=7: this model knows no labels"),
        ("manifold", {"model": ThreeLatents}, "needs 2 latent dimensions; this model has 3"),
        ("interpolate", {"end": "0.5,nan"}, "must be the number of an image, or 2 latents"),
        ("interpolate", {"end": "1,2,3"}, "must be the number of an image, or 2 latents"),
        ("interpolate", {"refine": 3, "start": "0,1", "end": "1,0"}, "nothing: neither --start"),
        ("interpolate", {"start": "6"}, "--start=6: there are 6 images"),
        ("class", {"label": "7"}, "--label=7: unknown; choose from 0, 1"),
        ("class", {"data_path": "bare.npz", "label": "7"}, "needs labelled images"),
        ("anomalies", {"score": "elbo", "refine": 3}, "--refine=3 does nothing with --score=elbo"),
        ("anomalies", {"false_alarms": 0.1}, "this model knows no scores of usual images"),
        ("styles", {}, "--mode=styles needs a conditional model"),
        ("latents", {"model": NoEncoder}, "needs .*; this one can decode, sample"),
        ("interpolate", {"model": NoEncoder, "data_path": "a.npz"}, "nothing: neither --start"),
        ("class", {"model": Drawer, "data_path": None}, "--label is needed; choose from ant, bee"),
        ("class", {"model": Drawer, "label": "ant"}, "draws its classes without examples"),
        (
            "interpolate",
            {"model": Drawer, "data_path": None, "start": "0,1", "end": "1,0"},
            "is needed",
        ),
        ("reconstruct", {"model": Drawer, "data_path": "bare.npz"}, "and needs labelled images"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(make, tmp_path, mode, settings, message):
    with pytest.raises(UserError, match=message):
        make(mode, **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_script_makes_what_is_asked_for_in_any_folder(tmp_path, vae_run):
    done = run_script(
        "generate.py", f"--saved_model={vae_run.saved_model}", "--mode=latents", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    written = [line.removeprefix("written: ") for line in done.stdout.splitlines()]
    assert len(written) == 2 and all((tmp_path / path).exists() for path in written)
