"""Images that stay on the disk, as an array: in a flat file, or decoded from pictures each time."""

import concurrent.futures
import os
from pathlib import Path

import numpy as np
import pytest
from folder_helpers import pixels_of, save

from cvae_tf.core.errors import UserError
from cvae_tf.data import disk_images, memory
from cvae_tf.data.disk_images import DiskImages
from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.data.picture_images import PictureImages
from cvae_tf.data.pictures import Form

SHAPE = (20, 4, 5, 3)
ORDER = np.random.default_rng(1).permutation(20)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)


@pytest.fixture
def path(tmp_path, images):
    images.tofile(tmp_path / "pixels.bin")
    return tmp_path / "pixels.bin"


@pytest.fixture
def folder(tmp_path, images):
    for number, image in enumerate(images):
        save(tmp_path / "pictures" / f"{number:02}.png", image)
    return tmp_path / "pictures"


def _from_pictures(folder, rows):
    return PictureImages(list_pictures(folder), rows, Form(), SHAPE[1:])


INDICES = [
    slice(None), slice(3, 8), slice(None, None, -2), slice(5, 5), np.array([7, 7, 0, 8, 1]),
    np.array([], np.int64), np.array([-1, 2]), np.array([[1, 2], [3, 0]]),
]  # fmt: skip


def test_indices_are_those_of_an_array(path, folder, images):
    rows = np.array([4, 5, 6, 1, 19, 0, 2, 11, 10])
    for stored, in_memory in (
        (DiskImages(path, SHAPE), images),
        (DiskImages(path, SHAPE, rows), images[rows]),
        (_from_pictures(folder, rows), images[rows]),
    ):
        assert (stored.shape, len(stored)) == (in_memory.shape, len(in_memory))
        for index in INDICES:
            found = stored[index]
            np.testing.assert_array_equal(found, in_memory[index], err_msg=str(index))
            assert found.dtype == stored.dtype == np.uint8 and found.flags.c_contiguous


@pytest.mark.parametrize("count", [1, 10])
def test_pictures_that_vanish_or_break_or_change_are_named(folder, images, count):
    stored, path = _from_pictures(folder, np.arange(10)), folder / "00.png"
    for change, message in (
        (lambda: save(path, pixels_of(0, 9, 9, 3)), "has become another one"),
        (lambda: save(path, pixels_of(0, 4, 5, 3)), "has become another one"),
        (lambda: path.write_bytes(path.read_bytes()[:50]), "cannot be read any more"),
        (path.unlink, "cannot be read any more .No such file"),
    ):
        change()
        with pytest.raises(UserError, match=f"00.png: .*{message}"):
            stored[:count]
    np.testing.assert_array_equal(stored[1:], images[1:10])


@pytest.mark.parametrize("can_read_at_a_place", [True, False])
def test_several_threads_read_at_once(path, images, monkeypatch, can_read_at_a_place):
    if not can_read_at_a_place:  # as on some systems
        monkeypatch.delattr(os, "preadv", raising=False)
    stored = DiskImages(path, SHAPE)

    def read(seed):
        order = np.random.default_rng(seed).permutation(20)
        return np.array_equal(stored[order], images[order])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(50)))


def test_file_is_read_from_front_to_back_and_on_where_a_read_stops_early(path, images, monkeypatch):
    read_at, places = disk_images._read_at, []

    def read_seven_bytes(file, view, place):
        places.append(place)
        return read_at(file, view[:7], place)

    monkeypatch.setattr(disk_images, "_read_at", read_seven_bytes)
    np.testing.assert_array_equal(DiskImages(path, SHAPE)[ORDER], images[ORDER])
    assert places == sorted(places)
    monkeypatch.setattr(disk_images, "_read_at", lambda *given: places.append(0) or read_at(*given))
    places.clear()
    DiskImages(path, SHAPE)[5:15]
    assert len(places) == 1  # what stands side by side


def test_file_that_is_not_there_or_too_short_is_named(path):
    with pytest.raises(UserError, match="missing.bin: cannot be read"):
        DiskImages(path.with_name("missing.bin"), SHAPE)
    stored = DiskImages(path, SHAPE)
    os.truncate(path, 100)
    with pytest.raises(UserError, match="pixels.bin: the file is shorter"):
        stored[:]
    with pytest.raises(UserError, match="pixels.bin: the file is shorter"):
        DiskImages(path, SHAPE)


def test_file_that_is_removed_is_read_until_it_is_let_go(path, images):
    stored = DiskImages(path, SHAPE)
    path.unlink()
    np.testing.assert_array_equal(stored[:], images)
    before = len(list(Path("/proc/self/fd").iterdir()))
    del stored
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1


# How much of them may be in memory


CONTAINER = {"/sys/fs/cgroup/memory.max": "9000", "/sys/fs/cgroup/memory.current": "2000"}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 5 kB\n"}, 5 * 1024),
        ({"/proc/meminfo": "MemAvailable: 8 kB\n", **CONTAINER}, 7000),
        ({"/proc/meminfo": "MemAvailable: 5 kB\n", **CONTAINER}, 5 * 1024),
        ({"/proc/meminfo": "MemAvailable: 5 kB\n", **dict.fromkeys(CONTAINER, "max")}, 5 * 1024),
        ({"/proc/meminfo": "MemAvailable: much kB\n"}, 3 * 4096 // 2),
        ({}, 3 * 4096 // 2),
    ],
)
def test_free_memory_is_that_of_the_machine_or_of_the_container(monkeypatch, files, free):
    def read_text(path, **options):
        if str(path) not in files:
            raise FileNotFoundError
        return files[str(path)]

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3}.get)
    assert memory.free_bytes() == free
