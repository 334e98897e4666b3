import concurrent.futures
import hashlib
import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from folder_helpers import READING, pixels_of, save, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data import decoding, folder, picture_store
from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.data.inspection import margin_brightness
from cvae_tf.data.picture_store import DiskImages, PictureImages, read_pictures
from cvae_tf.data.pictures import Form
from cvae_tf.data.settings import ReadingSettings

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
def decode_all(monkeypatch):
    """Counts how often all pictures are decoded."""
    counted = mock.Mock(wraps=picture_store.decode_all)
    monkeypatch.setattr(picture_store, "decode_all", counted)
    return counted


def _read(root, disk_mb=None, **reading):
    return read_pictures(list_pictures(root), ReadingSettings(**reading), disk_mb)


def _all(pictures):
    return pictures.images(np.arange(pictures.facts.count))


def test_facts_are_of_the_good_pictures_and_bad_ones_are_tried_again(root, decode_all):
    saved = np.stack(list(save_all(root, NAMES, channels=3, width=6).values()))
    contents = (root / NAMES[4]).read_bytes()
    bad = [0, 4, 15, 16, 19]
    for number in bad:
        (root / NAMES[number]).write_bytes(b"")
    good, pictures = np.delete(saved, bad, axis=0), _read(root)
    np.testing.assert_array_equal(_all(pictures)[:], good)
    facts = pictures.facts
    assert facts.bad == [(number, "an empty file") for number in bad] and facts.count == 15
    assert facts.image_shape == (8, 6, 3)
    assert facts.sha256 == hashlib.sha256(good.tobytes()).hexdigest()
    assert facts.margins == pytest.approx(margin_brightness(good), abs=1e-9)
    assert _read(root).facts == facts and decode_all.call_count == 1
    # As if a disk in a network had failed for a while.
    listing = list_pictures(root)
    (root / NAMES[4]).write_bytes(contents)
    assert len(read_pictures(listing, READING, None).facts.bad) == 4


def test_grey_saved_as_colours_is_grey_unless_there_are_colours_or_they_are_asked_for(root):
    for number in range(100):
        save(root / f"{number:03}.png", np.repeat(pixels_of(0), 3, axis=-1))
    np.testing.assert_array_equal(_all(_read(root))[:], np.stack([pixels_of(0)] * 100))
    assert _read(root, channels=3).facts.image_shape == (8, 8, 3)
    save(root / "098.png", pixels_of(1, channels=3))  # not among those that are looked at first
    images = _all(_read(root))
    assert images.shape == (100, 8, 8, 3) and isinstance(images, DiskImages)
    np.testing.assert_array_equal(images[98:99][0], pixels_of(1, channels=3))
    assert _read(root, channels=1).facts.image_shape == (8, 8, 1)


def test_several_sizes_and_large_pictures_need_a_size(root, saved, home):
    for number, height in enumerate([9, 9, 10, 11, 12, 13, 14]):
        save(root / f"odd{number}.png", pixels_of(number, height, 8))
    (root / "bad.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"8x8 \(20\), 9x8 \(2\).* and 2 more\. Give --image_size"):
        _read(root)
    assert not list(home.iterdir())
    assert _all(_read(root, image_size="16x12")).shape == (27, 16, 12, 1)
    save(root / "large" / "1.png", np.zeros((1025, 40, 1), np.uint8))
    with pytest.raises(UserError, match=r"too large to learn.*1025x40 \(1\). Give --image_size"):
        _read(root / "large")


def test_several_are_decoded_at_a_time_in_order_and_not_far_ahead(monkeypatch):
    monkeypatch.setattr(decoding, "count_cores", lambda: 3)
    began = []

    def work(number):
        began.append(number)
        return number

    for wanted, result in enumerate(decoding.several_at_a_time(work, range(40))):
        assert result == wanted and max(began) <= wanted + 8
    assert len(began) == 40


def test_same_pictures_are_decoded_once(root, saved, decode_all, monkeypatch):
    first = _read(root)
    with monkeypatch.context() as patch:
        patch.delattr("PIL.Image.open")
        second = _read(root)
    assert decode_all.call_count == 1 and second.facts == first.facts
    for pictures in (first, second):
        assert isinstance(_all(pictures), DiskImages)
        np.testing.assert_array_equal(_all(pictures)[:], saved)
    assert sorted(path.name for path in root.iterdir()) == NAMES  # nothing beside the pictures
    _read(root, channels=3)
    save(root / "03.png", pixels_of(99))
    np.testing.assert_array_equal(_all(_read(root))[np.array([3])][0], pixels_of(99))
    assert decode_all.call_count == 3


def test_cache_that_cannot_be_written_is_left_out(root, saved, home, capsys, monkeypatch):
    no_room = OSError(28, "No space left on device")
    monkeypatch.setattr(picture_store.files, "write_json", mock.Mock(side_effect=no_room))
    pictures = _read(root)
    assert isinstance(_all(pictures), PictureImages) and not list(home.iterdir())
    np.testing.assert_array_equal(_all(pictures)[:], saved)
    (warned,) = capsys.readouterr().err.splitlines()
    assert "No space left" in warned and "The pictures are decoded each time" in warned


def test_damaged_entries_are_made_again(root, saved, decode_all, home):
    _read(root)
    (entry,) = home.iterdir()
    facts = json.loads((entry / "facts.json").read_text())
    wrong = [json.dumps({**facts, **each}) for each in ({"count": 19}, {"margins": "bright"})]
    damages = [("facts.json", content) for content in (*wrong, "[]")]
    for name, content in (*damages, ("pixels.bin", "short")):
        (entry / name).write_text(content)
        np.testing.assert_array_equal(_all(_read(root))[:], saved)
    assert decode_all.call_count == 5


@pytest.fixture
def flat(tmp_path, saved):
    saved.tofile(tmp_path / "pixels.bin")
    return tmp_path / "pixels.bin"


INDICES = [
    slice(None), slice(3, 8), slice(None, None, -2), np.array([7, 7, 0, 8, 1]),
    np.array([], np.int64), np.array([-1, 2]),
]  # fmt: skip


@pytest.mark.parametrize("has_preadv", [True, False])
def test_indices_are_those_of_an_array(root, flat, saved, monkeypatch, has_preadv):
    if not has_preadv:
        monkeypatch.delattr(os, "preadv", raising=False)
    monkeypatch.setattr(picture_store, "_MOST_AT_ONCE", 7)  # bytes
    rows, shape = np.array([4, 5, 6, 1, 19, 0, 2, 11, 10]), saved.shape
    for stored, in_memory in (
        (DiskImages(flat, shape), saved),
        (DiskImages(flat, shape, rows), saved[rows]),
        (PictureImages(list_pictures(root), rows, Form(), shape[1:]), saved[rows]),
    ):
        assert (stored.shape, len(stored)) == (in_memory.shape, len(in_memory))
        for index in INDICES:
            np.testing.assert_array_equal(stored[index], in_memory[index], err_msg=str(index))
            assert stored[index].dtype == stored.dtype == np.uint8


@pytest.mark.parametrize("count", [1, 10])
def test_pictures_that_vanish_or_break_or_change_are_named(root, saved, count):
    path = root / NAMES[0]
    stored = PictureImages(list_pictures(root), np.arange(10), Form(), (8, 8, 1))
    for change, message in (
        (lambda: save(path, pixels_of(1)), "has become another one"),
        (lambda: path.write_bytes(path.read_bytes()[:50]), "cannot be read any more"),
        (path.unlink, "cannot be read any more .No such file"),
    ):
        change()
        with pytest.raises(UserError, match=f"00.png: .*{message}"):
            stored[:count]
    np.testing.assert_array_equal(stored[1:], saved[1:10])


def test_a_file_is_read_by_several_threads_also_after_it_was_removed(flat, saved):
    stored = DiskImages(flat, saved.shape)
    flat.unlink()
    orders = [np.random.default_rng(seed).permutation(20) for seed in range(50)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for order, found in zip(orders, pool.map(stored.__getitem__, orders), strict=True):
            np.testing.assert_array_equal(found, saved[order])


def test_file_that_is_not_there_or_too_short_is_named(flat, saved):
    with pytest.raises(UserError, match="missing.bin: cannot be read"):
        DiskImages(flat.with_name("missing.bin"), saved.shape)
    stored = DiskImages(flat, saved.shape)
    os.truncate(flat, 100)
    for read in (lambda: stored[:], lambda: DiskImages(flat, saved.shape)):
        with pytest.raises(UserError, match="pixels.bin: the file is shorter"):
            read()


def test_free_memory_is_that_of_the_machine_or_less_in_a_container(monkeypatch):
    files = {"/sys/fs/cgroup/memory.current": "2000"}
    monkeypatch.setattr(Path, "read_text", lambda path, **options: files.get(str(path), "max"))
    for machine, limit, free in ((8, "9000", 7000), (8, "max", 8192)):
        files["/sys/fs/cgroup/memory.max"] = limit
        files["/proc/meminfo"] = f"MemTotal: 9 kB\nMemAvailable: {machine} kB\n"
        assert folder.free_bytes() == free
