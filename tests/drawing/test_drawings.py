"""Pictures: each image in its place with its levels; texts that fit; curves, latents, labels."""

import gc
import itertools
import math
import weakref

import matplotlib.style
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image, ImageSequence

from cvae_tf.drawing import canvas, mosaics
from cvae_tf.drawing.plots import (
    COLOURS,
    CurveGroup,
    are_values,
    as_classes,
    draw_curves,
    draw_latents,
)


def _flat_images(levels, side=2):
    """One image of each grey level."""
    levels = np.asarray(levels, np.float32)
    return np.tile(levels[:, None, None, None], (1, side, side, 1))


def test_mosaics_lay_images_row_by_row_and_originals_over_reconstructions():
    images = np.random.default_rng(0).random((5, 2, 3, 3), np.float32)
    expected = np.full((5, 11, 3), 255)
    for number, image in enumerate(images):
        top, left = 3 * (number // 3), 4 * (number % 3)
        expected[top : top + 2, left : left + 3] = np.rint(255 * image)
    np.testing.assert_array_equal(mosaics.mosaic(images, columns=3, gap=1), expected)
    originals, reconstructions = _flat_images([1, 2, 3]), _flat_images([10, 20, 30])
    ordered = mosaics.stacked([originals, reconstructions], columns=2)
    assert ordered[:, 0, 0, 0].tolist() == [1, 2, 10, 20, 3, 1, 30, 1]  # filled up by white


@pytest.mark.parametrize("channels", [1, 3])
def test_saved_and_resized_images_have_their_levels_in_their_places(tmp_path, channels):
    path = tmp_path / "a.png"
    images = np.random.default_rng(0).random((4, 5, 7, channels), np.float32)
    expected = np.rint(images * 255)
    mosaics.save_image(path, images[0], enlarge=3)
    pixels = np.asarray(Image.open(path)).reshape(15, 21, channels)
    np.testing.assert_array_equal(pixels, expected[0].repeat(3, axis=0).repeat(3, axis=1))
    with matplotlib.style.context("dark_background"):  # pages are white all the same
        mosaics.draw_panels(path, [mosaics.Panel("", [images])] * 2, "")  # which have 64 levels
    found = {*map(tuple, np.asarray(Image.open(path)).reshape(-1, channels))}
    assert {*map(tuple, np.minimum(4 * np.rint(expected / 4), 255).reshape(-1, channels))} <= found
    larger = mosaics.well_sized(images, columns=2, length=100, most=200)
    np.testing.assert_array_equal(larger, expected.repeat(7, axis=1).repeat(7, axis=2))
    smaller = mosaics.well_sized(_flat_images([0.2, 0.6], 400), 2, length=100, most=200)
    np.testing.assert_array_equal(smaller, 255 * _flat_images([0.2, 0.6], 100))
    levels = np.array([-0.5, 0, 0.5, 1, 1.5, np.nan, np.inf]).reshape(1, 7, 1)
    assert mosaics.to_pixels(levels).ravel().tolist() == [0, 0, 128, 255, 255, 0, 255]


def test_names_and_captions_stand_where_their_images_are_and_none_with_tiles_alone(
    tmp_path, monkeypatch
):
    """Row names left of rows, again for the next ones; column names above; captions under."""
    path, places = tmp_path / "a.png", {}

    def keep(page, text, x, y, *_, **__):
        places.setdefault(text, []).append((x, y))

    monkeypatch.setattr(canvas, "write", keep)
    levels = np.array([[51, 102, 153], [77, 128, 179]])
    sets = [_flat_images(of_set / 255, 28) for of_set in levels]
    names = {"row_names": ("over", "under"), "column_names": ("left", "right")}
    panel = mosaics.Panel("What this is", sets, 2, captions=[*levels.astype(str)], **names)
    mosaics.draw_panel(path, panel)
    grey = np.asarray(Image.open(path).convert("L"))
    for number, level in enumerate((51, 102, 77, 128, 153, None, 179)):
        rows, columns = np.nonzero(grey == level)
        if level:
            [(x, y)], row = places[str(level)], number // 2
            assert x == pytest.approx(columns.mean(), abs=4) and 0 < y - rows.max() < 40
            [(x, y)] = places[("left", "right")[number % 2]]
            assert x == pytest.approx(columns.mean(), abs=4) and y < rows.min()
            x, y = places[("over", "under")[row % 2]][row // 2]
            assert y == pytest.approx(rows.mean(), abs=4) and x < columns.min()
    assert [*places][0] == "What this is" and len(places) == 12
    mosaics.draw_panel(path, panel, plain=True)
    assert np.asarray(Image.open(path)).shape[1] == (2 * 28 + 2) * (900 // (4 * 30 - 2))


def test_every_image_of_a_manifold_is_shown_in_its_place(tmp_path):
    """Along both axes latents divide the standard Gaussian evenly."""
    path, seen = tmp_path / "a.png", []

    def decode(latents, labels):
        seen.append((latents, labels))
        images = np.zeros((len(latents), 8, 8, 3), np.float32)
        images[..., :2] = [[[[0.5 * (1 + math.erf(z / math.sqrt(2))) for z in latent]]]
                           for latent in latents]  # fmt: skip
        return images

    images = mosaics.draw_manifold(path, decode, plain=True)
    quantiles = (np.arange(20) + 0.5) / 20
    expected = [(x, y) for y in quantiles[::-1] for x in quantiles]
    np.testing.assert_allclose(images[:, 0, 0, :2], expected, atol=1e-6)
    grid = np.asarray(Image.open(path).convert("RGB"))
    side = (len(grid) + 2) // 20
    shown = grid[side // 2 :: side, side // 2 :: side, :2].reshape(400, 2)
    np.testing.assert_allclose(shown / 255, expected, atol=0.003)
    mosaics.draw_manifold(path, decode, class_names=("cat", "dog"))
    np.testing.assert_array_equal(seen[1][1], np.repeat([0, 1], 64))


def test_pictures_are_joined_in_order_and_the_last_is_held(tmp_path, monkeypatch):
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path, mode, colour in zip(paths, ("L", "P"), (90, (10, 60, 250)), strict=True):
        Image.new(mode, (200, 160), colour).save(path)
    for given in (paths, [*paths[:1], paths[1], *paths]):  # of too many, the first and the last
        mosaics.animate(given, tmp_path / "a.gif")
        with Image.open(tmp_path / "a.gif") as gif:
            frames = [(frame.info["duration"], frame.convert("RGB").getpixel((50, 50)))
                      for frame in ImageSequence.Iterator(gif)]  # fmt: skip
        assert frames == [(400, (88, 88, 88)), (3000, (10, 60, 250))] and gif.info["loop"] == 0
        monkeypatch.setattr(mosaics, "_LARGEST_GIF", 10)


@pytest.mark.parametrize(("colour", "mode"), [((250, 250, 250), "L"), ((255, 255, 250), "RGB")])
def test_a_page_is_grey_unless_it_has_a_colour(tmp_path, colour, mode):
    page = canvas.new_page(40, 40)
    canvas.place(page, np.full((8, 8, 3), colour, np.uint8), 4, 4)
    canvas.save(page, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == mode and picture.convert("RGB").getpixel((6, 6)) == colour


def test_a_page_leaves_the_memory_before_the_next(tmp_path):
    gc.disable()
    try:
        page = canvas.new_page(40, 40)
        canvas.save(page, tmp_path / "a.png")
        pixels = weakref.ref(page.canvas.renderer)
        del page
        canvas.new_page(40, 40)
        assert pixels() is None
    finally:
        gc.enable()


def test_a_line_fits_and_what_no_font_has_is_a_box_and_said_once(capfd, monkeypatch):
    monkeypatch.setattr(canvas, "_letters", lambda: set("ab x^é$\\…"))
    canvas._tell_of_boxes.cache_clear()
    page = canvas.new_page(400, 100)
    for text, shown in (("a\nb $x^$", r"a b \$x^\$"), ("x" * 300, "x…"), ("\x1bb 数字", "□b □□")):
        canvas.write(page, text, x=150, y=50, width=300, size=14)
        line = page.texts[-1]
        assert line.get_text().endswith(shown) and line.get_window_extent().width <= 300
    said = capfd.readouterr().err
    assert said.startswith("warning: no common font of this machine") and said.count("\n") == 1


@pytest.fixture
def axes_of(tmp_path, monkeypatch):
    """Draws something, and returns the axes of its page, which is not written."""
    pages = []
    monkeypatch.setattr(canvas, "save", lambda page, *_, **__: pages.append(page))

    def call(draw, *arguments):
        draw(tmp_path / "page.png", *arguments)
        return pages[-1].axes

    return call


def test_curves_stand_in_their_groups_as_far_as_there_are_values(axes_of):
    bounds = {"train_elbo": "--", "old_elbo": "-.", "test_elbo": "-"}
    groups = CurveGroup("Bounds", "nats", bounds), CurveGroup("KL", "nats", {"test_kl": ":"})
    rows = [{"epoch": 1, "train_elbo": 3.0, "test_elbo": 5.0},
            {"epoch": 2, "train_elbo": 4.0, "test_elbo": 6.0, "test_kl": 1.0}]  # fmt: skip
    left, right = axes_of(draw_curves, rows, groups, "mnist $x^$")
    lines = [*left.lines, *right.lines]
    assert [line.get_label() for line in lines] == ["train ELBO", "test ELBO", "test KL"]
    for line, values in zip(lines, ([3, 4], [5, 6], [math.nan, 1]), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2])
        np.testing.assert_array_equal(line.get_ydata(), values)


def test_few_labels_are_classes_and_of_many_with_names_the_commonest():
    assert are_values(np.arange(21)) and not are_values(np.arange(20))
    assert not are_values(np.arange(21), label_names=["cat"])
    classes = as_classes(np.array([10, 2, 2, 7]))
    assert classes.names == ["2", "7", "10"] and classes.indices.tolist() == [2, 0, 0, 1]
    named = as_classes(np.array([1, 0, 5, -1]), ["cat", "a $x^$ dog"])
    assert named.names == ["-1", "cat", r"a \$x^\$ dog", "5"]
    labels = np.concatenate([np.arange(100), np.repeat(np.arange(50, 90), 3), [7] * 9])
    classes = as_classes(labels, [f"name {i}" for i in range(100)])
    assert classes.names == ["name 7", *(f"name {i}" for i in range(50, 68)), "and 81 more"]
    assert classes.indices[[0, 7, 50, 67, 68]].tolist() == [19, 0, 1, 18, 19]


def test_points_stand_at_their_means_and_names_at_the_medians_of_their_colours(axes_of):
    means = np.random.default_rng(0).normal(size=(50, 2)) * [30, 1]
    means[3, 1] = np.nan
    shown, labels = np.arange(50) != 3, np.arange(50) % 2
    (axes,) = axes_of(draw_latents, means, labels, "Title", ["dog", "cat"])
    assert axes.get_title() == "Title\n1 of 50 are not finite and left out"
    np.testing.assert_allclose(axes.collections[0].get_offsets(), means[shown])
    assert axes.get_legend() is None and [text.get_text() for text in axes.texts] == ["dog", "cat"]
    edges = np.array([text.get_bbox_patch().get_edgecolor()[:3] for text in axes.texts])
    colours = axes.collections[0].get_facecolors()[:, :3]
    np.testing.assert_allclose(colours, edges[labels][shown])
    for name, text in enumerate(axes.texts):
        np.testing.assert_allclose(text.xy, np.median(means[shown & (labels == name)], axis=0))
    values = np.linspace(-1, 1, 50)
    axes, bar = axes_of(draw_latents, means, values, "Title")
    assert axes.get_legend() is None and bar.get_ylabel() == "Label"
    np.testing.assert_allclose(axes.collections[0].get_array(), values[shown])


def test_names_do_not_hide_each_other_or_stand_in_a_legend(axes_of):
    means = np.random.default_rng(0).normal(size=(400, 2))
    for num in (4, 20):  # whose medians are about the same
        names = [f"quite a long name {i}" for i in range(num)]
        (axes,) = axes_of(draw_latents, means, np.arange(400) % num, "Title", names)
        if num == 20:
            assert [text.get_text() for text in axes.get_legend().get_texts()] == names
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == num % 20
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_colours_differ_also_for_the_colour_blind():
    """In CIELAB, by what Machado et al. (2009) have for those without red or green cones."""
    blind = (
        np.eye(3),
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    )
    to_xyz = np.array([[0.434, 0.376, 0.190], [0.213, 0.715, 0.072], [0.018, 0.109, 0.873]])
    linear = np.array([to_rgb(colour) for colour in COLOURS]) ** 2.2
    for seen in blind:
        x, y, z = np.cbrt(np.clip(linear @ np.array(seen).T, 0, 1) @ to_xyz.T).T
        lab = np.stack([116 * y, 500 * (x - y), 200 * (y - z)], axis=1)
        apart = np.linalg.norm(lab[:, None] - lab, axis=2) + 1000 * np.eye(len(lab))
        assert apart[:10, :10].min() > 28 and apart.min() > 15


def test_more_dimensions_are_drawn_by_their_principal_components(axes_of):
    random = np.random.default_rng(0)
    turn = np.linalg.qr(random.normal(size=(5, 5)))[0]
    means = random.normal(size=(500, 5)) * [9, 4, 1, 1, 1] @ turn + 7
    (axes,) = axes_of(draw_latents, means, None, "Title")
    centred = means - means.mean(axis=0)
    _, spreads, directions = np.linalg.svd(centred)
    points, expected = axes.collections[0].get_offsets(), centred @ directions[:2].T
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-6)  # but for the signs
    shares = [f"({spread**2 / np.sum(spreads**2):.0%} of the variance)" for spread in spreads]
    assert axes.get_xlabel() == f"principal component 1 {shares[0]}"
    assert axes.get_ylabel() == f"principal component 2 {shares[1]}"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("num", "dimensions"), [(0, 3), (2, 3), (2, 1), (30, 1)])
def test_equal_means_are_no_error(axes_of, num, dimensions):
    axes_of(draw_latents, np.full((num, dimensions), 1e6), np.arange(num), "Title")
    axes_of(draw_latents, np.full((num, dimensions), 1e6), None, "Title")
