import hashlib
import threading
import time

import numpy as np
import pytest
from folder_helpers import pixels_of, save, save_all

from cvae_tf.data import decoding
from cvae_tf.data.datasets import margin_brightness
from cvae_tf.data.decoding import SizeNeededError, count_sizes, decode_all, several_at_a_time
from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.data.pictures import Form


class _Store:
    """Keeps what is stored, and how often it began."""

    def __init__(self):
        self.starts, self.images = 0, []

    def open(self, shape):
        self.starts, self.images = self.starts + 1, []
        return self.images.append

    def all(self):
        return np.concatenate(self.images)


def _decode(root, form=None):
    store = _Store()
    facts = decode_all(list_pictures(root), form or Form(), store.open)
    return facts, store


@pytest.mark.parametrize("channels", [1, 3])
def test_all_is_found_out_in_one_pass(tmp_path, channels):
    names = [f"{number:03}.png" for number in range(50)]
    saved = np.stack(list(save_all(tmp_path, names, channels=channels, width=6).values()))
    facts, store = _decode(tmp_path)
    np.testing.assert_array_equal(store.all(), saved)
    assert store.starts == 1
    assert facts.image_shape == (8, 6, channels) and facts.count == 50 and facts.bad == []
    assert facts.sha256 == hashlib.sha256(saved.tobytes()).hexdigest()
    assert facts.margins == pytest.approx(margin_brightness(saved), abs=1e-9)


def test_one_colour_picture_late_makes_all_colours(tmp_path):
    """It is not among those that are looked at first."""
    names = [f"{number:03}.png" for number in range(100)]
    grey = save_all(tmp_path, names)
    colour = pixels_of(1000, channels=3)
    save(tmp_path / "098.png", colour)
    facts, store = _decode(tmp_path)
    assert store.starts == 2 and facts.image_shape == (8, 8, 3)
    np.testing.assert_array_equal(store.all()[98], colour)
    np.testing.assert_array_equal(store.all()[97], np.repeat(grey["097.png"], 3, axis=-1))
    assert facts.sha256 == hashlib.sha256(store.all().tobytes()).hexdigest()


def test_grey_saved_as_colours_is_grey(tmp_path):
    grey = pixels_of(0)
    for number in range(3):
        save(tmp_path / f"{number}.png", np.repeat(grey, 3, axis=-1))
    facts, store = _decode(tmp_path)
    assert facts.image_shape == (8, 8, 1)
    np.testing.assert_array_equal(store.all(), np.stack([grey] * 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_can_be_asked_for(tmp_path, channels):
    save_all(tmp_path, ["a.png", "b.png"])
    save(tmp_path / "c.png", pixels_of(3, channels=3))
    assert _decode(tmp_path, Form(channels=channels))[0].image_shape == (8, 8, channels)


def test_bad_pictures_are_numbered_and_left_out(tmp_path):
    names = [f"{number:03}.png" for number in range(40)]
    saved = save_all(tmp_path, names)
    bad = [0, 15, 16, 39]
    for number in bad:
        (tmp_path / names[number]).write_bytes(b"")
    facts, store = _decode(tmp_path)
    assert facts.bad == [(number, "an empty file") for number in bad] and facts.count == 36
    good = [saved[name] for number, name in enumerate(names) if number not in bad]
    np.testing.assert_array_equal(store.all(), np.stack(good))


def test_nothing_but_bad_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    facts, store = _decode(tmp_path)
    assert facts.image_shape == () and facts.count == 0 and store.starts == 0


def test_several_sizes(tmp_path):
    save_all(tmp_path, ["a.png", "b.png"])
    save(tmp_path / "c.png", pixels_of(3, 9, 8))
    (tmp_path / "d.png").write_bytes(b"")
    with pytest.raises(SizeNeededError):
        _decode(tmp_path)
    assert count_sizes(list_pictures(tmp_path)) == {(8, 8): 2, (9, 8): 1}
    assert _decode(tmp_path, Form((16, 8)))[0].image_shape == (16, 8, 1)


def test_results_are_in_order_and_not_far_ahead(monkeypatch):
    monkeypatch.setattr(decoding, "count_cores", lambda: 3)
    began, threads = [], set()

    def work(number):
        began.append(number)
        threads.add(threading.get_ident())
        time.sleep(0.002 * (number % 3))
        return number

    results = several_at_a_time(work, range(40))
    for wanted, result in enumerate(results):
        assert result == wanted and max(began) <= wanted + 8
        time.sleep(0.001)
    assert len(began) == 40 and len(threads) > 1


def test_errors_of_workers_are_raised():
    with pytest.raises(ZeroDivisionError):
        list(several_at_a_time(lambda number: 1 // number, [2, 1, 0, 3]))
