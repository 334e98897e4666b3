import hashlib
import os
from unittest import mock

import numpy as np
import pytest
from folder_helpers import pixels_of, save, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data import picture_store
from cvae_tf.data.folder import list_pictures
from cvae_tf.data.inspection import margin_brightness
from cvae_tf.data.picture_store import MappedImages, read_pictures
from cvae_tf.data.pictures import ReadingSettings

NAMES = [f"{number:02}.png" for number in range(20)]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "cvae-tf"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def saved(root):
    return np.stack(list(save_all(root, NAMES).values()))


@pytest.fixture
def decode(monkeypatch):
    """Counts how often all pictures are decoded."""
    counted = mock.Mock(wraps=picture_store._decode_to_cache)
    monkeypatch.setattr(picture_store, "_decode_to_cache", counted)
    return counted


def _read(root, **reading):
    return read_pictures(list_pictures(root), ReadingSettings(**reading))


def test_facts_are_of_the_good_pictures_and_bad_ones_are_tried_again(root, decode):
    saved = np.stack(list(save_all(root, NAMES, channels=3, width=6).values()))
    contents = (root / NAMES[4]).read_bytes()
    bad = [0, 4, 15, 16, 19]
    for number in bad:
        (root / NAMES[number]).write_bytes(b"")
    good, pictures = np.delete(saved, bad, axis=0), _read(root, skip_bad=True)
    np.testing.assert_array_equal(pictures.pixels, good)
    np.testing.assert_array_equal(pictures.numbers, np.delete(np.arange(20), bad))
    facts = pictures.facts
    assert [number for number, _ in facts.bad] == bad
    assert facts.sha256 == hashlib.sha256(good.tobytes()).hexdigest()
    assert facts.margins == pytest.approx(margin_brightness(good), abs=1e-9)
    assert _read(root, skip_bad=True).facts == facts and decode.call_count == 1
    # As if a disk in a network had failed for a while.
    listing = list_pictures(root)
    (root / NAMES[4]).write_bytes(contents)
    assert len(read_pictures(listing, ReadingSettings()).facts.bad) == 4


def test_grey_saved_as_colours_is_grey_unless_there_are_colours_or_they_are_asked_for(root):
    for number in range(100):
        save(root / f"{number:03}.png", np.repeat(pixels_of(0), 3, axis=-1))
    np.testing.assert_array_equal(_read(root).pixels, np.stack([pixels_of(0)] * 100))
    assert _read(root, channels=3).pixels.shape[1:] == (8, 8, 3)
    save(root / "098.png", pixels_of(1, channels=3))
    pixels = _read(root).pixels
    assert pixels.shape == (100, 8, 8, 3)
    np.testing.assert_array_equal(pixels[98], pixels_of(1, channels=3))
    assert _read(root, channels=1).pixels.shape[1:] == (8, 8, 1)


def test_several_sizes_and_large_pictures_need_a_size(root, saved, home):
    save(root / "odd.png", pixels_of(0, 9, 8))
    (root / "bad.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"00.png has 8x8, odd.png has 9x8 .*\. Give --image_size"):
        _read(root)
    assert not list(home.iterdir())
    assert _read(root, image_size="16x12").pixels.shape == (21, 16, 12, 1)
    save(root / "large" / "1.png", np.zeros((1025, 40, 1), np.uint8))
    with pytest.raises(UserError, match=r": 1.png has 1025x40 .*--image_size"):
        _read(root / "large")


def test_same_pictures_are_decoded_once(root, saved, decode, monkeypatch):
    first = _read(root)
    with monkeypatch.context() as patch:
        patch.delattr("PIL.Image.open")
        second = _read(root)
    assert decode.call_count == 1 and second.facts == first.facts
    for pictures in (first, second):
        np.testing.assert_array_equal(pictures.pixels, saved)
    assert sorted(path.name for path in root.iterdir()) == NAMES  # nothing beside the pictures
    _read(root, channels=3)
    save(root / "03.png", pixels_of(99))
    np.testing.assert_array_equal(_read(root).pixels[3], pixels_of(99))
    assert decode.call_count == 3


def test_a_cache_without_room_is_one_line(root, saved, home, monkeypatch):
    no_room = mock.Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr(picture_store._Writer, "add", no_room)
    with pytest.raises(UserError, match=r"^.*No space left on device.*KERAS_HOME names another.*$"):
        _read(root)
    assert not list(home.iterdir())


def test_damaged_entries_are_made_again(root, saved, decode, home):
    pictures = _read(root)
    (entry,) = home.iterdir()
    facts = (entry / "facts.json").read_text()
    wrong = [facts.replace("margins", "edges"), "[]"]
    for name, content in (*(("facts.json", each) for each in wrong), ("pixels.npy", "short")):
        (entry / name).write_text(content)
        np.testing.assert_array_equal(_read(root).pixels, saved)
    os.truncate(entry / "pixels.npy", 1000)
    np.testing.assert_array_equal(_read(root).pixels, saved)
    (entry / "pixels.npy").unlink()
    np.testing.assert_array_equal(pictures.pixels, saved)  # as long as it is in use
    np.testing.assert_array_equal(_read(root).pixels, saved)
    assert decode.call_count == 6


def test_images_are_in_memory_or_mapped_and_indexed_as_an_array(root, saved):
    rows, pictures = np.array([4, 5, 6, 1, 19, 0, 2, 11, 10]), _read(root)
    in_memory, mapped = (pictures.images(rows, megabytes) for megabytes in (1, 0))
    assert type(in_memory) is np.ndarray and in_memory.ctypes.data % 64 == 0
    np.testing.assert_array_equal(in_memory, saved[rows])
    assert isinstance(mapped, MappedImages)
    assert (mapped.shape, len(mapped), mapped.dtype) == (in_memory.shape, 9, np.uint8)
    for index in (slice(3, 8), slice(None, None, -2), np.array([7, -1]), np.array([], np.int64)):
        np.testing.assert_array_equal(mapped[index], in_memory[index], err_msg=str(index))
