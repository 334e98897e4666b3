"""What each mode of `generate.py` makes, by models whose images show their latents and labels."""

import csv

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow as tf
from helpers import run_script
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key, numpy_generator
from cvae_tf.data import batches
from cvae_tf.drawing.mosaics import normal_quantile_grid
from cvae_tf.generation import modes
from cvae_tf.generation.modes import MODES
from cvae_tf.models.vae.anomalies import Anomaly
from cvae_tf.models.vae.likelihoods import Pixels
from cvae_tf.models.vae.posterior import FullPosterior, Posterior

LABELS = np.array([0, 1, 0, 1, 0, 0])
# The left half lit (label 0) or the right half (label 1), more and more brightly.
IMAGES = np.full((6, 8, 8, 1), 60, np.uint8)
for number, label in enumerate(LABELS):
    IMAGES[number, :, 4 * label : 4 * label + 4] = 140 + 20 * number


def logits(halves):
    halves = np.clip(halves, 0.002, 0.998)
    return np.log(halves / (1 - halves))


def halves_of(images):
    """The left and the right pixel of each image, [..., 2]."""
    return images[..., 0, [0, 7], 0]


class HalvesModel:
    """Images of 8 x 8 pixels whose left and right halves are as bright as the two latents."""

    latent_dim, image_shape = 2, (8, 8, 1)
    metadata = {}
    abilities = ("sample", "decode", "encode", "reconstruct", "score", "refine")
    smallest_p_value, pixels = None, Pixels()
    main_score = pixels.terms["elbo"]
    num_classes, class_names, samples_from = 0, (), "prior"
    factor = np.array([[0.3, 0], [0.2, 0.1]], np.float32)  # of refined posteriors

    def parameters(self, latents, labels=None):
        halves = np.asarray(latents, np.float32)
        return np.repeat(halves, 4, axis=1)[:, None, :, None].repeat(8, axis=1)

    def decode(self, latents, labels=None):
        return 1 / (1 + np.exp(-self.parameters(latents)))

    def sample_latents(self, num, key):
        return tf.random.stateless_normal([num, 2], key)

    def sample(self, num, seed, labels=None):
        return self.decode(np.random.default_rng(seed).standard_normal((num, 2)))

    def sample_in_parts(self, num, seed, labels=None):
        yield from np.split(self.sample(num, seed), [num // 2])

    def encode(self, images, labels=None):
        mean = logits(halves_of(images)).astype(np.float32)
        return Posterior(mean, np.full_like(mean, -4.0))

    def refine(self, images, labels=None, steps=5):
        """Each step moves the mean by a tenth."""
        mean = self.encode(images).mean + np.float32(steps / 10)
        return FullPosterior(mean, np.tile(self.factor, (len(images), 1, 1)))

    def reconstruct(self, images, labels=None):
        return self.decode(self.encode(images).mean)

    def mean_scores(self, images, seed=0, num_samples=8, labels=None):
        elbo = -images.sum((1, 2, 3)) - 1 + 0.001 * num_samples
        return {"elbo": elbo, "log_likelihood": elbo + 1}

    def score(self, images, seed, labels=None):
        return self.mean_scores(images, seed, 1)


class Drawer(HalvesModel):
    """A conditional model: the upper half is the first latent, the lower half the label / 10."""

    num_classes, class_names = 3, ("ant", "bee", "cat")

    def decode(self, latents, labels):
        images = np.zeros((len(latents), 8, 8, 1), np.float32)
        images[:, :4] = np.clip(np.asarray(latents, np.float32)[:, :1, None, None], 0, 1)
        images[:, 4:] = np.asarray(labels, np.float32)[:, None, None, None] / 10
        return images

    def labels_in_turn(self, num):
        return np.arange(num) % 3

    def sample(self, num, seed, labels=None):
        latents = np.random.default_rng(seed).uniform(size=(num, 2))
        return self.decode(latents, self.labels_in_turn(num) if labels is None else labels)

    def encode(self, images, labels):
        assert len(labels) == len(images)
        mean = np.stack([images[:, 0, 0, 0], np.asarray(labels, np.float32)], axis=1)
        return Posterior(mean, np.full_like(mean, -100.0))

    def reconstruct(self, images, labels):
        return self.decode(self.encode(images, labels).mean, labels)

    def mean_scores(self, images, seed=0, num_samples=8, labels=None):
        return {"elbo": -10.0 * labels - images[:, 0, 0, 0]}


def make_with(model, mode, output, **settings):
    return modes.generate(model, mode, modes.choose(mode, **settings), output)


SCORES = -(IMAGES / 255).sum((1, 2, 3)) - 1 + 0.001 * 8


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes what is asked for in a folder that holds two files of images."""
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


def test_samples_are_a_square_or_a_file_each_and_the_manifold_a_grid(make):
    expected = HalvesModel().sample(9, 4)
    made = make("samples", num=9, seed=4, plain=True)
    np.testing.assert_array_equal(made.arrays["images"], expected)
    found = _tiles(made.files[0], 3, 3)
    np.testing.assert_allclose(found, halves_of(expected).reshape(3, 3, 2), atol=0.01)
    paths = make("samples", num=9, seed=4, individual=True).files
    assert [path.name for path in paths] == [f"sample_{i:06d}.png" for i in range(9)]
    written = [iio.imread(path) / 255 for path in paths]
    np.testing.assert_allclose(written, expected[..., 0], atol=0.003)
    expected = HalvesModel().decode(normal_quantile_grid(20))
    np.testing.assert_array_equal(make("manifold").arrays["images"], expected)


def test_originals_of_all_classes_stand_over_reconstructions(make):
    order = np.argsort(LABELS, kind="stable")  # four of one class, then two of the other
    np.savez("images.npz", x_test=IMAGES[order], y_test=LABELS[order])
    made = make("reconstruct", num=4, plain=True)
    grey = IMAGES[order][[0, 2, 4, 5]] / 255
    np.testing.assert_allclose(made.arrays["originals"], grey, atol=1e-6)
    both = halves_of(np.stack([grey, HalvesModel().reconstruct(grey)]))
    np.testing.assert_allclose(_tiles(made.files[0], 2, 4), both, atol=0.01)


def test_interpolation_is_straight_in_the_latent_space(make):
    made = make("interpolate", start="2", end="-2,2", plain=True)
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
    made = make("neighbours", index=1, num=399, spread=spread, seed=1, plain=True)
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
    [(["cat", "7"], "1", 1), (["1", "0"], "1", 0), (["e\u0301", "b"], "\u00e9", 0)],
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
    made = make("denoise", num=4, noise=0.2, plain=True)
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


def test_images_are_sorted_by_the_score_that_is_asked_for(make):
    for settings in ({}, {"score": "elbo"}):
        made = make("anomalies", num=2, **settings)
        header, *rows = csv.reader(made.files[1].read_text().splitlines())
        order = np.argsort(SCORES)
        assert header == ["name", "elbo_nats"] and [row[0] for row in rows] == [*map(str, order)]
        np.testing.assert_allclose([float(row[1]) for row in rows], SCORES[order], atol=2e-3)
        np.testing.assert_allclose(made.arrays["scores"], SCORES, rtol=1e-5)
        np.testing.assert_allclose(made.arrays["images"], IMAGES[order[:2]] / 255, atol=1e-6)


class KnowingHalves(HalvesModel):
    """Knows scores of nine usual images: a tenth is the least share that it can tell."""

    abilities, smallest_p_value = (*HalvesModel.abilities, "anomaly"), 0.1

    def anomaly(self, images, labels=None, **options):
        scores = np.array([3, 1, np.nan, 2, 5, 4])
        return Anomaly(scores, np.fmax(scores, 1) / 10)


def test_images_are_marked_at_the_rate_that_is_asked_for(make):
    made = make("anomalies", KnowingHalves, false_alarms=0.3)
    header, *rows = csv.reader(made.files[1].read_text().splitlines())
    assert header == ["name", "relative_elbo_nats", "p_value", "marked"]
    assert rows[0] == ["2", "nan", "0.10000", "yes"]  # no number: the most unusual of all
    assert [row[0] for row in rows] == ["2", "1", "3", "0", "5", "4"]
    assert [row[3] for row in rows] == ["yes"] * 4 + ["no"] * 2
    assert made.notes[0].startswith("With 9 usual images to compare with, no p-value is below 0.1")
    assert made.notes[1].startswith("4 of 6 images are marked, 66.67%; of usual images at most 30")
    with pytest.raises(UserError, match="^--false_alarms=0.05: with 9 usual .* be told is 0.1"):
        make("anomalies", KnowingHalves, false_alarms=0.05)
    with pytest.raises(UserError, match="^--false_alarms: needs --score=relative"):
        make("anomalies", KnowingHalves, score="elbo", false_alarms=0.3)


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
    for path, labels in (("images.npz", names[LABELS].tolist()), ("bare.npz", [None] * 6)):
        made = make("latents", data_path=path)
        archive, table = made.files
        with np.load(archive) as arrays:
            assert (list(arrays["label"]) if "label" in arrays else [None] * 6) == labels
            for name, expected in made.arrays.items():
                np.testing.assert_array_equal(arrays[name], expected)
        rows = list(csv.DictReader(table.read_text().splitlines()))
        known = [(row["name"], row.get("label")) for row in rows]
        assert known == [(str(i), label) for i, label in enumerate(labels)]
        columns = ["elbo_nats", "mean_1", "mean_2", "logvar_1", "logvar_2"]
        values = [[float(row[column]) for column in columns] for row in rows]
        expected = [made.arrays[name] for name in ("elbo", "mean", "logvar")]
        np.testing.assert_allclose(values, np.column_stack(expected), rtol=1e-6)


NoEncoder = type("NoEncoder", (HalvesModel,), {"abilities": ("sample", "decode")})
ThreeLatents = type("ThreeLatents", (HalvesModel,), {"latent_dim": 3})


@pytest.mark.parametrize(
    ("mode", "settings", "message"),
    [
        ("samples", {"num": 10_001}, "10000 images at most; --mode=samples --individual"),
        ("samples", {"label": "7"}, "--label=7: this model knows no labels"),
        ("manifold", {"model": ThreeLatents}, "needs 2 latent dimensions; this model has 3"),
        ("interpolate", {"end": "0.5,nan"}, "must be the number of an image, or 2 latents"),
        ("interpolate", {"refine": 3, "start": "0,1", "end": "1,0"}, "nothing: neither --start"),
        ("interpolate", {"start": "6"}, "--start=6: there are 6 images"),
        ("class", {"label": "7"}, "--label=7: unknown; choose from 0, 1"),
        ("class", {"data_path": "bare.npz", "label": "7"}, "needs labelled images"),
        ("anomalies", {"false_alarms": 0.1}, "--false_alarms: needs --score=relative"),
        ("anomalies", {"score": "relative"}, "this model knows no scores of usual images"),
        ("styles", {}, "--mode=styles needs a conditional model"),
        ("latents", {"model": NoEncoder}, "needs .*; this one can decode, sample"),
        ("interpolate", {"model": NoEncoder, "data_path": "a.npz"}, "nothing: neither --start"),
        ("class", {"model": Drawer, "data_path": None}, "--label is needed; choose from ant, bee"),
        ("class", {"model": Drawer, "label": "ant"}, "draws its classes without examples"),
        ("reconstruct", {"model": Drawer, "data_path": "bare.npz"}, "and needs labelled images"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(make, tmp_path, mode, settings, message):
    with pytest.raises(UserError, match=message):
        make(mode, **settings)
    assert not (tmp_path / "out").exists()


# A conditional model, which here draws its label.

CLASSES = np.array([2, 0, 1, 2])
GREY = np.array([10, 20, 30, 40]) / 255


@pytest.fixture
def shown(tmp_path):
    """Makes images in a mode, of four images that have classes in another order than the model."""
    images = np.zeros((4, 8, 8, 1), np.uint8)
    images[:, 2:6, 2:6] = 200
    images[:, 0, 0, 0] = 255 * GREY
    path = str(tmp_path / "images.npz")
    np.savez(path, images=images, labels=2 - CLASSES, class_names=["cat", "bee", "ant"])

    def call(mode, given=False, **settings):
        settings |= {"data_path": path} if given else {}
        return make_with(Drawer(), mode, tmp_path, **settings).arrays["images"]

    return call


def test_every_mode_works_with_a_trained_model(conditional, tmp_path):
    more = {"class": {"label": "3"}, "samples": {"individual": True}, "reconstruct": {"refine": 1}}
    given = {"num": 4, "seed": 2, "start": "0", "end": "1"}
    for mode, (_, looked_at, *_) in MODES.items():
        if mode != "manifold":  # it has three latents
            own = {name: value for name, value in given.items() if name in looked_at}
            found = make_with(conditional, mode, tmp_path / mode, **own, **more.get(mode, {}))
            assert all(path.exists() for path in found.files)
            assert all(isinstance(each, np.ndarray) for each in found.arrays.values())


def _labels_in(images):
    return np.rint(10 * images[..., 7, 0, 0]).astype(int)


def _uppers_in(images):
    return images[..., 0, 0, 0]


def test_modes_show_a_class_or_all_in_turn(shown):
    images = shown("class", label="cat", num=5, seed=3, spread=0.5)
    assert set(_labels_in(images)) == {2}
    latents = numpy_generator(3, Purpose.CLASS_SAMPLES).standard_normal((5, 2))
    np.testing.assert_allclose(_uppers_in(images), np.clip(0.5 * latents[:, 0], 0, 1), rtol=1e-6)
    for mode in ("samples", "manifold"):
        assert set(_labels_in(shown(mode, label="bee"))) == {1}
    assert _labels_in(shown("samples", num=7)).tolist() == [0, 1, 2, 0, 1, 2, 0]
    manifolds = shown("manifold")
    np.testing.assert_array_equal(_labels_in(manifolds), np.repeat([0, 1, 2], 64))
    grid = normal_quantile_grid(8)[:, 0].clip(0, 1)
    np.testing.assert_allclose(_uppers_in(manifolds), np.tile(grid, 3))


def test_tables_have_a_row_for_each_latent_and_a_column_for_each_class(shown, monkeypatch):
    styles, of_images = (
        shown("styles", num=8, seed=1),
        shown("transfer", given=True, num=16),
    )
    monkeypatch.setattr(Drawer, "abilities", (*Drawer.abilities, "sample_latents"))  # a mixture
    of_mixture = shown("styles", num=8, seed=1)
    latents = numpy_generator(1, Purpose.STYLES).standard_normal((2, 2))
    of_seed = Drawer().sample_latents(2, derived_key(1, Purpose.STYLES)).numpy()
    for found, uppers in ((styles, latents[:, 0]), (of_mixture, of_seed[:, 0]), (of_images, GREY)):
        np.testing.assert_array_equal(_labels_in(found), [[0, 1, 2]] * len(uppers))
        expected = uppers.clip(0, 1)[:, None].repeat(3, axis=1)
        np.testing.assert_allclose(_uppers_in(found), expected, rtol=1e-5)


def test_images_are_seen_with_their_own_classes_by_name(shown):
    assert _labels_in(shown("reconstruct", given=True, num=4)).tolist() == CLASSES.tolist()
    assert set(_labels_in(shown("neighbours", given=True, index=2, num=3))) == {CLASSES[2]}
    worst = shown("anomalies", given=True, num=1)
    assert _uppers_in(worst)[0] == pytest.approx(GREY[3])  # the higher of the two cats
    lowers = shown("denoise", given=True, num=4)[:, 7, 0, 0]
    assert np.all((lowers > 0) & (lowers < 0.2))  # means over all classes: of 0, 0.1 and 0.2
    ends = {"given": True, "start": "0", "end": "1"}
    assert _labels_in(shown("interpolate", **ends)).tolist() == [2] * 20 + [0] * 20
    assert set(_labels_in(shown("interpolate", label="bee", **ends))) == {1}


@pytest.mark.slow
def test_the_script_makes_what_is_asked_for_in_any_folder(tmp_path, vae_run):
    done = run_script(
        "generate.py", f"--saved_model={vae_run.saved_model}", "--mode=latents", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    told, *lines = done.stdout.splitlines()
    written = [line.removeprefix("written: ") for line in lines]
    assert told.startswith("model: ") and len(written) == 2
    assert all((tmp_path / path).exists() for path in written)
