import hashlib
import threading

import numpy as np
import pytest
from folder_helpers import pixels_of, save, save_all

from cvae_tf.data import decoding
from cvae_tf.data.datasets import margin_brightness
from cvae_tf.data.decoding import SizeNeededError, count_sizes, decode_all, several_at_a_time
from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.data.pictures import Form


def _decode(root, form=None):
    """What is found of the pictures of a folder, and what was stored of them."""
    stores = []

    def open_store(shape):
        stores.append([])
        return stores[-1].append

    facts = decode_all(list_pictures(root), form or Form(), open_store)
    assert len(stores) == (facts.count > 0)
    return facts, np.concatenate(stores[-1]) if stores else None


@pytest.mark.parametrize("channels", [1, 3])
def test_all_is_found_out_in_one_pass_and_bad_pictures_are_left_out(tmp_path, channels):
    names = [f"{number:03}.png" for number in range(50)]
    saved = np.stack(list(save_all(tmp_path, names, channels=channels, width=6).values()))
    bad = [0, 15, 16, 49]
    for number in bad:
        (tmp_path / names[number]).write_bytes(b"")
    good = np.delete(saved, bad, axis=0)
    facts, stored = _decode(tmp_path)
    np.testing.assert_array_equal(stored, good)
    assert facts.bad == [(number, "an empty file") for number in bad] and facts.count == 46
    assert facts.image_shape == (8, 6, channels)
    assert facts.sha256 == hashlib.sha256(good.tobytes()).hexdigest()
    assert facts.margins == pytest.approx(margin_brightness(good), abs=1e-9)


def test_grey_saved_as_colours_is_grey_unless_channels_are_asked_for(tmp_path):
    grey = pixels_of(0)
    for number in range(3):
        save(tmp_path / f"{number}.png", np.repeat(grey, 3, axis=-1))
    np.testing.assert_array_equal(_decode(tmp_path)[1], np.stack([grey] * 3))
    assert _decode(tmp_path, Form(channels=3))[0].image_shape == (8, 8, 3)
    save(tmp_path / "c.png", pixels_of(3, channels=3))
    for channels, found in ((0, 3), (1, 1), (3, 3)):
        assert _decode(tmp_path, Form(channels=channels))[0].image_shape == (8, 8, found)


def test_nothing_but_bad_pictures(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    facts, _ = _decode(tmp_path)
    assert facts.image_shape == () and facts.count == 0


def test_several_sizes(tmp_path):
    save_all(tmp_path, ["a.png", "b.png"])
    save(tmp_path / "c.png", pixels_of(3, 9, 8))
    (tmp_path / "d.png").write_bytes(b"")
    with pytest.raises(SizeNeededError):
        _decode(tmp_path)
    assert count_sizes(list_pictures(tmp_path)) == {(8, 8): 2, (9, 8): 1}
    assert _decode(tmp_path, Form((16, 8)))[0].image_shape == (16, 8, 1)


def test_results_are_in_order_and_not_far_ahead_and_errors_are_raised(monkeypatch):
    monkeypatch.setattr(decoding, "count_cores", lambda: 3)
    began, second_is_done = [], threading.Event()

    def work(number):
        began.append(number)
        if number == 0:
            assert second_is_done.wait(60)
        if number == 1:
            second_is_done.set()
        if number == 39:
            raise ZeroDivisionError
        return number

    results = several_at_a_time(work, range(40))
    for wanted in range(39):
        assert next(results) == wanted and max(began) <= wanted + 8
    with pytest.raises(ZeroDivisionError):
        next(results)
