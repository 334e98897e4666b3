"""What each mode of `generate.py` makes, by a model whose images show its latents."""

import dataclasses

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import run_script
from generation_helpers import LABELS, HalvesModel, halves_of, lit_images, logits, make
from PIL import Image

from cvae_tf.core import parts
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.drawing.manifold import normal_quantile_grid
from cvae_tf.generation import of_class, plane
from cvae_tf.generation.settings import GenerationSettings
from cvae_tf.registry import MODES


@pytest.fixture
def model():
    return HalvesModel()


@pytest.fixture
def images():
    return lit_images()


@pytest.fixture
def data_path(tmp_path, images):
    return _saved(tmp_path / "images.npz", x_test=images, y_test=LABELS)


def _saved(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def _tiles(path, rows, columns):
    """The grey levels of the left and right halves of each image of a mosaic."""
    picture = iio.imread(path, mode="L") / 255
    scale = picture.shape[1] / (10 * columns - 2)  # 8 pixels, and 2 between neighbours
    middles = [int((10 * row + 4) * scale) for row in range(rows)]
    halves = [int((10 * column + x) * scale) for column in range(columns) for x in (2, 6)]
    return picture[np.ix_(middles, halves)].reshape(rows, columns, 2)


def test_samples_are_a_square_or_a_file_each(model, tmp_path):
    made = make(model, "samples", tmp_path, num=9, seed=4)
    np.testing.assert_array_equal(made.arrays["images"], model.sample(9, 4))
    expected = halves_of(model.sample(9, 4)).reshape(3, 3, 2)
    np.testing.assert_allclose(_tiles(made.files[0], 3, 3), expected, atol=0.01)
    paths = make(model, "samples", tmp_path, num=5, seed=4, individual=True).files
    assert [path.name for path in paths] == [f"sample_{i:06d}.png" for i in range(5)]
    written = [iio.imread(path) / 255 for path in paths]
    np.testing.assert_allclose(written, model.sample(5, 4)[..., 0], atol=0.003)


def test_the_manifold_is_the_grid_of_quantiles(model, tmp_path):
    made = make(model, "manifold", tmp_path)
    grid = normal_quantile_grid(20, 20)
    np.testing.assert_array_equal(made.arrays["images"], model.decode(grid))
    assert [path.name for path in made.files] == ["manifold.png"] and made.files[0].exists()


def test_the_plane_goes_through_what_a_seed_draws(model, tmp_path):
    made = make(model, "plane", tmp_path, seed=3)
    corners = model.sample_latents(3, derived_key(3, Purpose.SAMPLES)).numpy()
    square = made.arrays["latents"].reshape(15, 15, 2)
    found = [square[0, 0], square[0, -1], square[-1, 0], square[-1, -1]]
    expected = [*corners, corners[1] + corners[2] - corners[0]]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(made.arrays["images"], model.decode(made.arrays["latents"]))
    corners = np.random.default_rng(0).normal(size=(3, 40)) * [[1], [2], [3]]  # many latents
    row = plane.on_plane(corners, 5)[:5]
    lengths = np.linalg.norm(corners, axis=1)
    np.testing.assert_allclose(np.linalg.norm(row, axis=1), np.linspace(*lengths[:2], 5))
    assert np.corrcoef(row[2], corners[0] + corners[1])[0, 1] == pytest.approx(1)


def test_originals_of_all_classes_stand_over_reconstructions(model, tmp_path, images):
    order = np.argsort(LABELS, kind="stable")  # four of one class, then two of the other
    path = _saved(tmp_path / "sorted.npz", x_test=images[order], y_test=LABELS[order])
    made = make(model, "reconstruct", tmp_path, data_path=path, num=4)
    grey = images[order][[0, 2, 4, 5]] / 255
    np.testing.assert_allclose(made.arrays["originals"], grey, atol=1e-6)
    both = halves_of(np.stack([grey, model.reconstruct(grey)]))
    np.testing.assert_allclose(_tiles(made.files[0], 2, 4), both, atol=0.01)
    noisy = make(model, "denoise", tmp_path, data_path=path, num=4).arrays["noisy"]
    np.testing.assert_allclose(noisy, grey, atol=1e-6)


def test_interpolation_is_straight_in_the_latent_space(model, tmp_path, data_path, images):
    made = make(model, "interpolate", tmp_path, data_path=data_path, start="3", end="-1,1")
    first, last = model.encode(images[[3]] / 255).mean[0], np.array([-1, 1])
    strip = _tiles(made.files[0], 1, 10)[0]
    for num, halves in ((10, strip), (40, halves_of(made.arrays["images"]))):
        shares = np.linspace(0, 1, num)[:, None]
        expected = 1 / (1 + np.exp(-(first * (1 - shares) + last * shares)))
        np.testing.assert_allclose(halves, expected, atol=0.01)
    with Image.open(made.files[1]) as gif:
        assert gif.info["loop"] == 0 and gif.n_frames > 40


def test_without_an_encoder_ends_are_what_seeds_draw(model, tmp_path, monkeypatch):
    monkeypatch.setattr(HalvesModel, "abilities", ("sample", "decode"))
    made = make(model, "interpolate", tmp_path, start=5, end=6)
    drawn = [model.sample_latents(1, derived_key(seed, Purpose.SAMPLES)) for seed in (5, 6)]
    ends = made.arrays["images"][[0, -1]]
    np.testing.assert_allclose(ends, model.decode(np.concatenate(drawn)), atol=1e-6)
    with pytest.raises(UserError, match="--data_path and --invert do nothing: this model has no"):
        make(model, "interpolate", tmp_path, data_path="a.npz")


def test_neighbours_lie_as_far_away_as_asked(model, tmp_path, data_path, images):
    posterior = model.encode(images[1:2] / 255)
    for spread in (0.0, 3.0):
        settings = {"data_path": data_path, "index": 1, "num": 399, "spread": spread}
        made = make(model, "neighbours", tmp_path, seed=1, **settings)
        tiles = _tiles(made.files[0], 20, 20).reshape(400, 2)
        np.testing.assert_allclose(tiles[0], [0, 160 / 255], atol=0.01)
        latents = logits(halves_of(made.arrays["images"]))[:, 1]
        assert latents.mean() == pytest.approx(posterior.mean[0, 1], abs=0.1)
        assert latents.std() == pytest.approx(spread * np.exp(-2), rel=0.15, abs=1e-3)


@pytest.mark.parametrize(("first", "second"), [("neighbours", "class"), ("samples", "neighbours")])
def test_one_seed_gives_each_mode_noise_of_its_own(model, tmp_path, data_path, first, second):
    latents = []
    for mode in (first, second):
        more = {"label": "0"} if mode == "class" else {}
        more |= {} if mode == "samples" else {"data_path": data_path}
        images = make(model, mode, tmp_path, num=400, seed=3, **more).arrays["images"]
        of_mode = logits(halves_of(images))
        latents.append((of_mode - of_mode.mean(axis=0)).ravel())
    assert abs(np.corrcoef(latents)[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("names", "label", "lit"),
    [
        (None, "0", 0), (["cat", "7"], "cat", 0), (["cat", "7"], "1", 1), (["cat", "7"], "7", 1),
        (["1", "0"], "1", 0), (["e\u0301", "b"], "\u00e9", 0),
    ],
)  # fmt: skip
def test_images_of_a_label_are_like_its_examples(model, tmp_path, images, names, label, lit):
    """Labels are found by name, however written, and where nothing is called so, by number."""
    known = {} if names is None else {"class_names": names}
    path = _saved(tmp_path / "named.npz", x_test=images, y_test=LABELS, **known)
    made = make(model, "class", tmp_path, data_path=path, label=label, num=4)
    tiles = _tiles(made.files[0], 2, 2)
    assert np.all(tiles[..., lit] > 0.5) and np.all(tiles[..., 1 - lit] < 0.1)


def test_typical_examples_come_first():
    means = np.random.default_rng(0).normal(size=(40, 2))
    means[:20] += [9, 9]
    means[3] = [0, 0]
    order = of_class.typical_examples(means, np.arange(40) < 20)
    assert sorted(order) == list(range(20)) and order[-1] == 3


def test_noise_is_added_and_explained(model, tmp_path, data_path, images, monkeypatch):
    made = make(model, "denoise", tmp_path, data_path=data_path, num=4, noise=0.2)
    clean = images[[0, 1, 3, 4]] / 255
    flipped = ~np.isclose(made.arrays["noisy"], clean)
    np.testing.assert_allclose(made.arrays["noisy"], np.where(flipped, 1 - clean, clean), atol=1e-6)
    assert 0.1 < flipped.mean() < 0.3
    tiles = _tiles(made.files[0], 3, 4)  # clean, noisy, explained
    np.testing.assert_allclose(tiles[0], halves_of(clean), atol=0.01)
    np.testing.assert_array_equal(tiles[2] > 0.5, halves_of(clean) > 0.5)
    assert made.notes == ()
    monkeypatch.setattr(HalvesModel, "metadata", {"config": {"binarize": "none"}})
    made = make(model, "denoise", tmp_path, data_path=data_path, num=4)  # noisy already
    noisy = halves_of(made.arrays["noisy"])
    np.testing.assert_allclose(_tiles(made.files[0], 2, 4)[0], noisy, atol=0.01)
    assert "black and white" in made.notes[0]


@pytest.mark.parametrize("black_and_white", [True, False])
def test_samples_stand_over_the_nearest_training_images(
    model, tmp_path, monkeypatch, black_and_white
):
    monkeypatch.setattr(parts, "_PIXELS", 7 * 64)  # seven training images at a time
    training = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    path = _saved(tmp_path / "own.npz", x_train=training, x_test=training[:5] // 2)
    metadata = {
        "config": {"data_path": path, "seed": 0},
        "data": {"name": "own", "key": None, "sha256": None},
        "black_and_white": black_and_white,
    }
    monkeypatch.setattr(HalvesModel, "metadata", metadata)
    made = make(model, "nearest", tmp_path, num=9, seed=2)

    def known(images):
        return (images > 0.5).astype(float) if black_and_white else images

    drawn, own = known(made.arrays["images"]), known(training[..., None] / 255)
    distances = np.square(drawn[:, None] - own).sum(axis=(2, 3, 4))
    np.testing.assert_array_equal(made.arrays["rows"], distances.argmin(axis=1))
    np.testing.assert_allclose(made.arrays["squared_distances"], distances.min(axis=1), rtol=1e-4)
    nearest = own[distances.argmin(axis=1)]
    np.testing.assert_allclose(made.arrays["nearest"], nearest, atol=1e-6)
    of_pixel = np.sqrt(np.median(distances.min(axis=1)) / 64)
    assert f"samples {of_pixel:.3f}, test images" in made.notes[0]


@pytest.mark.parametrize(
    ("mode", "settings", "message"),
    [
        ("samples", {"num": 10_001}, "10000 images at most; --mode=samples --individual"),
        ("samples", {"label": "7"}, "--label=7: this model knows no labels"),
        *(
            ("interpolate", {"end": text}, "must be the number of an image, or 2 latents")
            for text in ("a", "0.5,nan", "1,2,3")
        ),
        ("interpolate", {"start": "6"}, "--start=6: there are 6 images"),
        ("neighbours", {"index": 6}, "--index=6: there are 6 images"),
        ("class", {"label": "7"}, "--label=7: unknown; choose from 0, 1"),
        ("class", {}, "--label is needed; choose from 0, 1"),
        ("styles", {}, "--mode=styles needs a conditional model"),
        ("styles", {"label": "7"}, "--label does nothing with --mode=styles; it is for samp"),
        ("samples", {"num": 0}, "--num=0: must be"),
        ("samples", {"seed": 2**31}, f"--seed={2**31}: must be"),
        ("neighbours", {"index": -1}, "--index=-1: must be"),
        ("neighbours", {"spread": -0.1}, "--spread=-0.1: must be"),
        ("denoise", {"noise": 0.6}, "--noise=0.6: must be"),
        ("anomalies", {"false_alarms": 2}, "--false_alarms=2: must be"),
        ("anomalies", {"score": "elbo", "refine": 3}, "--refine=3 does nothing with --score=elbo"),
        ("anomalies", {"score": "relative", "refine": 3}, "does nothing with --score=relative"),
        ("transfer", {}, "--mode=transfer needs a conditional model"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    model, tmp_path, data_path, mode, settings, message
):
    if "data_path" in MODES[mode].settings:
        settings = {"data_path": data_path, **settings}
    with pytest.raises(UserError, match=message):
        make(model, mode, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_modes_that_a_model_cannot_do_are_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(HalvesModel, "abilities", ("sample", "decode"))
    for mode in ("reconstruct", "anomalies", "latents", "class", "neighbours", "denoise"):
        with pytest.raises(UserError, match=f"--mode={mode} needs .*; this one can decode, sample"):
            make(model, mode, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_files_and_models_do_not_fit(model, tmp_path, images, monkeypatch):
    many = _saved(tmp_path / "m.npz", x_test=np.repeat(images, 5, axis=0), y_test=np.arange(30))
    with pytest.raises(UserError, match=r"choose from 0, 1, 10, .* and 10 more\.$"):
        make(model, "class", tmp_path, data_path=many, label="cat")
    bare = _saved(tmp_path / "bare.npz", x_test=images)
    with pytest.raises(UserError, match="needs labelled images"):
        make(model, "class", tmp_path, data_path=bare, label="7")
    with pytest.raises(UserError, match="cannot be made"):
        make(model, "samples", tmp_path / "bare.npz" / "out")
    monkeypatch.setattr(HalvesModel, "latent_dim", 3)
    with pytest.raises(UserError, match="needs 2 latent dimensions; this model has 3"):
        make(model, "manifold", tmp_path)


def test_modes_take_the_settings_that_they_look_at():
    used = {name for mode in MODES for name in MODES[mode].settings}
    assert used == {field.name for field in dataclasses.fields(GenerationSettings)}
    request = GenerationSettings.create("class", label="7", num=3)
    assert (request.label, request.num, request.seed) == ("7", 3, 0)
    assert GenerationSettings.create("digit", label="7", num=3) == request  # an older name
    assert MODES["digit"] is MODES["class"] and "digit" not in list(MODES)


@pytest.mark.slow
def test_the_script_makes_what_is_asked_for_in_any_folder(tmp_path, vae_run):
    done = run_script(
        "generate.py", f"--saved_model={vae_run.saved_model}", "--mode=latents", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    written = [line.removeprefix("written: ") for line in done.stdout.splitlines()]
    assert len(written) == 3 and all((tmp_path / path).exists() for path in written)
