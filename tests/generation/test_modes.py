import csv

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import run_script
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.generation import generating, of_class
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.models.vae.pixels import Pixels
from cvae_tf.models.vae.posterior import Posterior


class FakeModel:
    """Images of 8 x 8 pixels whose left and right halves are as bright as the two latents."""

    latent_dim = 2
    image_shape = (8, 8, 1)
    metadata = {}
    abilities = ("sample", "decode", "encode", "reconstruct", "score")
    main_score = Pixels().terms["elbo"]

    is_conditional, class_names = False, ()

    def decode(self, latents, labels=None):
        halves = 1 / (1 + np.exp(-np.asarray(latents, np.float32)))
        return np.repeat(halves, 4, axis=1)[:, None, :, None].repeat(8, axis=1)

    def sample_in_parts(self, num, seed, labels=None):
        latents = np.random.default_rng(seed).standard_normal((num, 2))
        yield self.decode(latents[: num // 2])
        yield self.decode(latents[num // 2 :])

    def sample(self, num, seed, labels=None):
        return np.concatenate(list(self.sample_in_parts(num, seed)))

    def encode(self, images, labels=None):
        halves = np.stack([images[:, :, :4].mean((1, 2, 3)), images[:, :, 4:].mean((1, 2, 3))], 1)
        mean = np.log(np.clip(halves, 0.01, 0.99) / (1 - np.clip(halves, 0.01, 0.99)))
        return Posterior(mean, np.full_like(mean, -4.0))

    def reconstruct(self, images, labels=None):
        return self.decode(self.encode(images).mean)

    def mean_scores(self, images, seed, num_samples=8, labels=None):
        return {"elbo": -images.sum((1, 2, 3)) - 1 + 0.001 * num_samples}

    def p_values(self, scores):
        return None

    def score(self, images, seed, labels=None):
        return self.mean_scores(images, seed, 1)


LABELS = np.array([0, 1, 0, 1, 0, 0])


@pytest.fixture
def images():
    """Left half lit (label 0) or right half lit (label 1), more and more brightly."""
    images = np.zeros((6, 8, 8, 1), np.uint8)
    for number, label in enumerate(LABELS):
        images[number, :, 4 * label : 4 * label + 4] = 140 + 20 * number
    return images


@pytest.fixture
def data_path(tmp_path, images):
    np.savez(tmp_path / "images.npz", x_test=images, y_test=LABELS)
    return str(tmp_path / "images.npz")


def _make(tmp_path, mode, **settings):
    return _made(tmp_path, mode, **settings).files


def _made(tmp_path, mode, **settings):
    settings = GenerationSettings.create(mode, **settings)
    return generating.generate(FakeModel(), mode, settings, tmp_path / "out" / mode)


def _tiles(path, rows, columns):
    """The grey levels of the left and right halves of each image of a mosaic."""
    picture = iio.imread(path, mode="L") / 255
    scale = picture.shape[1] / (10 * columns - 2)  # 8 pixels, and 2 between neighbours
    middles = [int((10 * row + 4) * scale) for row in range(rows)]
    halves = [int((10 * column + x) * scale) for column in range(columns) for x in (2, 6)]
    return picture[np.ix_(middles, halves)].reshape(rows, columns, 2)


def test_what_was_made_comes_back_as_arrays_too(tmp_path, data_path):
    made = _made(tmp_path, "samples", num=5, seed=1)
    np.testing.assert_array_equal(made.arrays["images"], FakeModel().sample(5, 1))
    made = _made(tmp_path, "reconstruct", data_path=data_path, num=4)
    assert made.arrays["originals"].shape == made.arrays["images"].shape == (4, 8, 8, 1)


@pytest.mark.parametrize("mode", ["reconstruct", "anomalies", "latents", "class"])
def test_modes_that_a_model_cannot_do_are_refused(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(FakeModel, "abilities", ("sample", "decode"))
    with pytest.raises(UserError, match=f"--mode={mode} needs .*; this one can decode, sample"):
        _make(tmp_path, mode)
    assert list(tmp_path.iterdir()) == []


def test_grey_levels_are_said_to_be_denoised_as_black_and_white(tmp_path, data_path, monkeypatch):
    assert _made(tmp_path, "denoise", data_path=data_path, num=2).notes == ()
    monkeypatch.setattr(FakeModel, "metadata", {"config": {"binarize": "none"}})
    (note,) = _made(tmp_path, "denoise", data_path=data_path, num=2).notes
    assert "black and white" in note


@pytest.mark.parametrize(("first", "second"), [("neighbours", "class"), ("samples", "neighbours")])
def test_one_seed_gives_each_mode_noise_of_its_own(tmp_path, data_path, first, second):
    latents = []
    for mode in (first, second):
        more = {"label": "0"} if mode == "class" else {}
        more |= {} if mode == "samples" else {"data_path": data_path}
        images = _made(tmp_path, mode, num=400, seed=3, **more).arrays["images"]
        values = np.clip(images[:, 0, [0, 7], 0], 0.002, 0.998)
        of_mode = np.log(values / (1 - values))
        latents.append((of_mode - of_mode.mean(axis=0)).ravel())
    assert abs(np.corrcoef(latents)[0, 1]) < 0.2


def test_samples_fill_a_square(tmp_path):
    (path,) = _make(tmp_path, "samples", num=9, seed=4)
    expected = FakeModel().sample(9, 4)[:, 0, [0, 7], 0].reshape(3, 3, 2)
    np.testing.assert_allclose(_tiles(path, 3, 3), expected, atol=0.01)


def test_individual_samples_are_files_of_the_model_s_size(tmp_path):
    paths = _make(tmp_path, "samples", num=5, seed=4, individual=True)
    assert [path.name for path in paths] == [f"sample_{i:06d}.png" for i in range(5)]
    expected = FakeModel().sample(5, 4)[..., 0]
    written = [iio.imread(path) / 255 for path in paths]
    np.testing.assert_allclose(written, expected, atol=0.003)


def test_mosaics_have_a_limit(tmp_path):
    with pytest.raises(UserError, match="10000 images at most; --mode=samples --individual"):
        _make(tmp_path, "samples", num=10_001)
    assert not (tmp_path / "out" / "samples").exists()


def test_manifold_needs_two_dimensions(tmp_path, monkeypatch):
    assert _make(tmp_path, "manifold")[0].stat().st_size > 1000
    monkeypatch.setattr(FakeModel, "latent_dim", 3)
    with pytest.raises(UserError, match="needs 2 latent dimensions; this model has 3"):
        _make(tmp_path, "manifold")


def test_originals_stand_over_reconstructions(tmp_path, data_path, images):
    (path,) = _make(tmp_path, "reconstruct", data_path=data_path, num=3)
    grey = images[[0, 1, 4]] / 255
    both = np.stack([grey, FakeModel().reconstruct(grey)])[:, :, 0, [0, 7], 0]
    np.testing.assert_allclose(_tiles(path, 2, 3), both, atol=0.01)


@pytest.mark.parametrize(("mode", "name"), [("reconstruct", "originals"), ("denoise", "noisy")])
def test_some_images_are_of_all_classes_in_the_order_of_the_file(tmp_path, images, mode, name):
    order = np.argsort(LABELS, kind="stable")  # four of one class, then two of the other
    np.savez(tmp_path / "sorted.npz", x_test=images[order], y_test=LABELS[order])
    made = _made(tmp_path, mode, data_path=str(tmp_path / "sorted.npz"), num=4)
    chosen = images[order][[0, 2, 4, 5]] / 255
    np.testing.assert_allclose(made.arrays[name], chosen, atol=1e-6)


@pytest.mark.parametrize(("start", "end"), [("0", "3"), ("0.0,-1.0", "2.0,0.5"), ("1", "-1,1")])
def test_interpolation_is_straight_in_the_latent_space(tmp_path, data_path, images, start, end):
    strip, animation = _make(tmp_path, "interpolate", data_path=data_path, start=start, end=end)
    ends = [
        FakeModel().encode(images[int(text)][None] / 255).mean[0]
        if text.isdecimal()
        else np.array(text.split(","), float)
        for text in (start, end)
    ]
    shares = np.linspace(0, 1, 10)[:, None]
    expected = 1 / (1 + np.exp(-(ends[0] * (1 - shares) + ends[1] * shares)))
    np.testing.assert_allclose(_tiles(strip, 1, 10)[0], expected, atol=0.01)
    with Image.open(animation) as gif:
        assert gif.info["loop"] == 0 and gif.n_frames > 40


@pytest.mark.parametrize("text", ["a", "1.0", "0.5,nan", "1,2,3", "", "-1"])
def test_ends_that_are_neither_images_nor_latents_are_refused(tmp_path, data_path, text):
    with pytest.raises(UserError, match="must be the number of an image, or 2 latents"):
        _make(tmp_path, "interpolate", data_path=data_path, end=text)


@pytest.mark.parametrize(("mode", "name"), [("interpolate", "start"), ("neighbours", "index")])
def test_images_that_are_not_there_are_refused(tmp_path, data_path, mode, name):
    value = "6" if name == "start" else 6
    with pytest.raises(UserError, match=f"--{name}=6: there are 6 images"):
        _make(tmp_path, mode, data_path=data_path, **{name: value})


def test_neighbours_lie_as_far_away_as_asked(tmp_path, data_path, images):
    posterior = FakeModel().encode(images[1:2] / 255)
    for spread in (0.0, 3.0):
        (path,) = _make(
            tmp_path, "neighbours", data_path=data_path, index=1, num=399, spread=spread, seed=1
        )
        tiles = _tiles(path, 20, 20).reshape(400, 2)
        np.testing.assert_allclose(tiles[0], [0, 160 / 255], atol=0.01)
        brightness = np.clip(tiles[1:, 1], 0.002, 0.998)
        latents = np.log(brightness / (1 - brightness))
        assert latents.mean() == pytest.approx(posterior.mean[0, 1], abs=0.1)
        assert latents.std() == pytest.approx(spread * np.exp(-2), rel=0.15, abs=0.03)


def test_images_of_a_label_come_from_examples_of_it(tmp_path, data_path):
    for label, lit in (("0", 0), ("1", 1)):
        (path,) = _make(tmp_path, "class", data_path=data_path, label=label, num=9)
        tiles = _tiles(path, 3, 3)
        assert np.all(tiles[..., lit] > 0.5) and np.all(tiles[..., 1 - lit] < 0.1)


@pytest.mark.parametrize(
    ("label", "lit"), [("cat", 0), ("1", 0), ("7", 1), ("2", 1), ("no such", None), ("0", None)]
)
def test_classes_are_found_by_name_first_then_by_number(tmp_path, images, label, lit):
    names = ["none", "cat", "7"]
    path = tmp_path / "named.npz"
    np.savez(path, x_test=images, y_test=LABELS + 1, class_names=names)
    if lit is None:
        with pytest.raises(UserError, match=f"--label={label}: unknown; choose from 7, cat."):
            _make(tmp_path, "class", data_path=str(path), label=label)
    else:
        (picture,) = _make(tmp_path, "class", data_path=str(path), label=label, num=4)
        assert np.all(_tiles(picture, 2, 2)[..., lit] > 0.5)


def test_a_name_goes_before_a_number(tmp_path, images):
    path = tmp_path / "named.npz"
    np.savez(path, x_test=images, y_test=LABELS, class_names=["1", "0"])
    (picture,) = _make(tmp_path, "class", data_path=str(path), label="1", num=4)
    assert np.all(_tiles(picture, 2, 2)[..., 0] > 0.5)


def test_many_labels_are_not_all_listed(tmp_path, images):
    path = tmp_path / "many.npz"
    np.savez(path, x_test=np.repeat(images, 5, axis=0), y_test=np.arange(30))
    with pytest.raises(UserError, match=r"choose from 0, 1, 10, .* and 10 more\.$"):
        _make(tmp_path, "class", data_path=str(path), label="cat")


def test_typical_examples_come_first():
    means = np.concatenate([np.random.default_rng(0).normal(size=(40, 2)), [[9.0, 9.0]]])
    wanted = np.arange(41) < 20
    means[:20] += [9, 9]
    means[3] = [0, 0]
    order = of_class.typical_examples(means, wanted)
    assert sorted(order) == list(range(20)) and order[-1] == 3


def test_labels_must_be_there(tmp_path, data_path, images):
    with pytest.raises(UserError, match="--label=7: unknown; choose from 0, 1"):
        _make(tmp_path, "class", data_path=data_path, label="7")
    with pytest.raises(UserError, match="--label is needed; choose from 0, 1"):
        _make(tmp_path, "class", data_path=data_path)
    np.savez(tmp_path / "b.npz", x_test=images)
    with pytest.raises(UserError, match="needs labelled images"):
        _make(tmp_path, "class", data_path=str(tmp_path / "b.npz"), label="7")


def test_anomalies_are_sorted_by_their_elbo(tmp_path, data_path, images):
    picture, table = _make(tmp_path, "anomalies", data_path=data_path, num=2)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    elbos = -images.sum((1, 2, 3), dtype=float) / 255 - 1 + 0.001 * 8
    assert [row["name"] for row in rows] == [str(i) for i in np.argsort(elbos)]
    np.testing.assert_allclose([float(row["elbo_nats"]) for row in rows], sorted(elbos), atol=0.01)
    assert picture.stat().st_size > 1000


def test_noise_is_added_and_explained(tmp_path, data_path, images):
    (path,) = _make(tmp_path, "denoise", data_path=data_path, num=4, noise=0.2)
    picture = iio.imread(path, mode="L")
    scale = picture.shape[0] / (10 * 3 - 2)
    clean, noisy = (picture[int(10 * row * scale) :][: int(8 * scale)] for row in (0, 1))
    flipped = np.abs(noisy.astype(float) - clean) > 10
    assert 0.1 < flipped.mean() < 0.25
    halves = images[[0, 1, 3, 4], 0][:, [0, 7], 0]
    np.testing.assert_allclose(_tiles(path, 3, 4)[0], halves / 255, atol=0.01)
    np.testing.assert_array_equal(_tiles(path, 3, 4)[2] > 0.5, halves > 127)


def test_images_that_are_noisy_already_are_shown_once(tmp_path, data_path):
    (path,) = _make(tmp_path, "denoise", data_path=data_path, num=4)
    assert _tiles(path, 2, 4).shape == (2, 4, 2)


def test_output_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot be made"):
        place = tmp_path / "file" / "out"
        generating.generate(FakeModel(), "samples", GenerationSettings(), place)


@pytest.mark.parametrize("mode", ["samples", "latents", "denoise"])
@pytest.mark.slow
def test_script_makes_what_is_asked_for_in_any_folder(tmp_path, exported_digits, mode):
    done = run_script(
        "generate.py", f"--saved_model={exported_digits}", f"--mode={mode}", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    written = [line.removeprefix("written: ") for line in done.stdout.splitlines()]
    assert written and all((tmp_path / path).exists() for path in written)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--saved_model=nowhere"], "error: --saved_model=nowhere: holds no SavedModel"),
        (["--mode=samples", "--spread=2"], "error: --spread does nothing with --mode=samples"),
        (["--mode=paint"], "error: --mode=paint: unknown; choose from samples"),
    ],
)
def test_script_s_mistakes_end_in_a_line(tmp_path, arguments, message):
    done = run_script("generate.py", *arguments, cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr
    assert "Traceback" not in done.stderr and list(tmp_path.iterdir()) == []
