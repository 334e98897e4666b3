import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data.datasets import Dataset, Split
from cvae_tf.data.pictures import Form
from cvae_tf.presets import settings_for_few
from cvae_tf.training.building import complete_settings

FORM = Form()


def _strokes(paper, ink, num=30, noise=0):
    """Images [num, 16, 16, 1] of a stroke on paper, each in another place."""
    rng = np.random.default_rng(0)
    images = np.full((num, 16, 16), float(paper))
    for image in images:
        row, column = rng.integers(0, 12, 2)
        image[row : row + 2, column : column + 5] = ink
        image[row : row + 5, column : column + 2] = ink
    images += rng.normal(0, noise, images.shape)
    return images.clip(0, 255).astype(np.uint8)[..., np.newaxis]


def _complete(images, form=None, test=None, is_shared_out=False, **given):
    test = images[:2] if test is None else test
    dataset = Dataset("mine", "mine.", Split(images, None), Split(test, None), form=form)
    return complete_settings(None, given, dataset, is_shared_out)


VANISH = {
    "pencil": _strokes(250, 150),
    "dim": _strokes(3, 110),
    "white or black by its brightness": np.concatenate([_strokes(250, 200), _strokes(10, 60)]),
}
STAY = {
    "ink": _strokes(255, 0, noise=5),
    "empty ones among them": np.concatenate([_strokes(0, 255, 9), np.zeros((90, 16, 16, 1))]),
}


@pytest.mark.parametrize("name", VANISH)
def test_what_a_threshold_would_take_is_learned_as_grey_levels_and_never_thresholded(name, capsys):
    images = VANISH[name]
    assert _complete(images).preset == "photo"
    assert "preset:  photo, because the images would lose" in capsys.readouterr().out
    seen = f"blank or the same: levels from {images.min()} to {images.max()} of"
    for given in ({"preset": "fast"}, {"preset": "tutorial"}, {"binarize": "threshold"}):
        with pytest.raises(UserError, match=seen) as told:
            _complete(images, **given)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", STAY)
def test_black_and_white_stays_black_and_white(name, capsys):
    config = _complete(STAY[name].astype(np.uint8))
    assert (config.preset, config.binarize) == ("fast", "threshold")
    captured = capsys.readouterr()
    assert "preset:  fast, because the images are black and white or nearly so" in captured.out
    assert "warning" not in captured.err


def test_a_threshold_that_takes_some_of_the_images_is_warned_of(capsys):
    some = np.concatenate([_strokes(255, 0, 20), _strokes(255, 150, 10)])
    assert _complete(some).preset == "photo"
    assert _complete(some, preset="fast").preset == "fast"
    assert "warning: at the threshold 33% of the images lose" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("channels", "settings", "preset", "reason"),
    [
        (1, {}, "photo", "because the images have grey levels"),
        (1, {"binarize": "dynamic"}, "fast", "because the images are made black"),
        (3, {}, "photo", "because the images have colours"),
    ],
)
def test_grey_levels_and_colours_decide(channels, settings, preset, reason, capsys):
    images = np.random.default_rng(0).choice(np.uint8([0, 120, 240]), (20, 8, 8, channels))
    assert _complete(images, **settings).preset == preset
    assert reason in capsys.readouterr().out


@pytest.mark.parametrize(
    ("levels", "form", "remedy"),
    [
        ((0, 4), FORM, "levels from 0 to 4 of 0 to 255; --white_level says which level is white"),
        ((250, 150), None, "levels from 150 to 250 of 0 to 255; raise their contrast"),
    ],
)
def test_images_that_use_little_of_the_range_are_warned_of(levels, form, remedy, capsys):
    _complete(_strokes(*levels), form)
    shown = capsys.readouterr().err
    assert f"each image uses but a small part of the range: {remedy}" in shown
    assert len(shown.splitlines()) == 1
    _complete(_strokes(0, 255), form)
    assert capsys.readouterr().err == ""


def test_a_broken_pixel_or_empty_images_do_not_hide_that_the_others_are_dark(capsys):
    dark = _strokes(0, 16)
    dark[3, 0, 0] = 255
    _complete(np.concatenate([dark, np.zeros_like(dark)]), FORM, model="gan")
    _complete(_strokes(0, 255), test=_strokes(0, 5))
    of_all, of_tests = capsys.readouterr().err.splitlines()
    said = "nearly every image uses but a small part of the range: levels from 0 to 16 of 0 to 255"
    assert of_all == f"warning: {said}; --white_level says which level is white."
    said = "each test image, unlike those for training, uses but a small part of the range: levels"
    assert of_tests.startswith(f"warning: {said} from 0 to 5 of")


@pytest.mark.parametrize("given", [{}, {"model": "gan"}])
def test_images_that_are_all_the_same_are_refused_and_nearly_all_warned_of(given, capsys):
    with pytest.raises(UserError, match="mine: all training images are the same"):
        _complete(np.repeat(_strokes(0, 255, 1), 1200, axis=0), **given)
    assert _complete(np.repeat(_strokes(0, 255, 2), [199, 1], axis=0), **given).preset != "fast"
    captured = capsys.readouterr()
    assert captured.err == "warning: nearly all training images are the same one.\n"
    assert given or "because the images are nearly all the same" in captured.out


def test_of_few_images_there_are_more_epochs_of_as_many_steps_each_of_many_batches():
    for num, batch_size in ((1, 8), (90, 8), (191, 8), (192, 16), (384, 32), (4999, 32)):
        found = settings_for_few(num, 3, "photo")
        batches = max(1, num // batch_size)
        assert found["batch_size"] == batch_size
        assert found["epochs"] == 200 or 0 <= found["epochs"] * batches - 1500 < batches
    assert not settings_for_few(5000, 3, "photo") and not settings_for_few(90, 1, "gan")
    assert "flip" in found and not {"flip", "augment"} & settings_for_few(90, 1, "photo").keys()


def test_few_images_decide_only_what_is_not_given_and_the_screen_says_what(capsys):
    images = _strokes(0, 255, 90)
    own = {"batch_size": 8, "epochs": 137, "early_stop": 35, "augment": 1.0, "latent_dim": 2}
    assert _complete(images).to_json().items() >= own.items()
    flags = "--augment=1 --batch_size=8 --epochs=137 --early_stop=35"
    said = f"recipe:  90 images are few, so {flags}; --preset=fast has the usual ones instead\n"
    assert capsys.readouterr().out.endswith(said)
    given = {"batch_size": 30, "augment": 0.5}
    own = {**given, "epochs": 200, "early_stop": 50}
    assert _complete(images, **given).to_json().items() >= own.items()
    assert _complete(images, epochs=7).to_json().items() >= {"epochs": 7, "early_stop": 0}.items()
    assert _complete(images, is_shared_out=True).batch_size == 128  # as many replicas may need
    capsys.readouterr()
    for given in ({"preset": "fast"}, {"network": "mlp"}, {"model": "gan"}):
        assert _complete(images, **given).epochs == 10
    assert "recipe" not in capsys.readouterr().out
