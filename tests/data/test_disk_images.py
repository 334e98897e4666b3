import concurrent.futures
import os
from pathlib import Path

import numpy as np
import pytest

from cvae_tf.core.errors import UserError
from cvae_tf.data import disk_images
from cvae_tf.data.disk_images import DiskImages

SHAPE = (20, 4, 5, 3)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)


@pytest.fixture
def path(tmp_path, images):
    images.tofile(tmp_path / "pixels.bin")
    return tmp_path / "pixels.bin"


INDICES = [
    slice(None), slice(3, 9), slice(None, None, -2), slice(5, 5), np.array([7, 7, 0, 8, 1]),
    np.array([], np.int64), np.array([-1, 2]), np.array([[1, 2], [3, 0]]),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("rows", [None, np.array([4, 5, 6, 1, 19, 0, 2, 11, 10])], ids=str)
def test_indices_are_those_of_an_array(path, images, index, rows):
    on_disk = DiskImages(path, SHAPE, rows)
    in_memory = images if rows is None else images[rows]
    assert on_disk.shape == in_memory.shape and len(on_disk) == len(in_memory)
    assert on_disk.dtype == np.uint8
    found = on_disk[index]
    np.testing.assert_array_equal(found, in_memory[index])
    assert found.dtype == np.uint8 and found.flags.c_contiguous and found.flags.writeable


def test_systems_that_cannot_read_at_a_place(path, images, monkeypatch):
    monkeypatch.delattr(os, "preadv")
    order = np.random.default_rng(1).permutation(20)
    np.testing.assert_array_equal(DiskImages(path, SHAPE)[order], images[order])


def test_reads_that_stop_early_go_on(path, images, monkeypatch):
    read_at = disk_images._read_at
    monkeypatch.setattr(disk_images, "_read_at", lambda f, view, at: read_at(f, view[:7], at))
    np.testing.assert_array_equal(DiskImages(path, SHAPE)[:], images)


def test_file_is_read_from_front_to_back(path, monkeypatch):
    read_at, places = disk_images._read_at, []

    def noted(file, view, place):
        places.append(place)
        return read_at(file, view, place)

    monkeypatch.setattr(disk_images, "_read_at", noted)
    DiskImages(path, SHAPE)[np.random.default_rng(1).permutation(20)]
    assert places == sorted(places)
    places.clear()
    DiskImages(path, SHAPE)[5:15]
    assert len(places) == 1  # and what stands side by side at once


def test_several_threads_read_at_once(path, images):
    on_disk = DiskImages(path, SHAPE)

    def read(seed):
        order = np.random.default_rng(seed).permutation(20)
        return np.array_equal(on_disk[order], images[order])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(200)))


def test_file_that_is_not_there_or_too_short_is_named(path):
    with pytest.raises(UserError, match="missing.bin: cannot be read"):
        DiskImages(path.with_name("missing.bin"), SHAPE)
    on_disk = DiskImages(path, SHAPE)
    os.truncate(path, 100)
    with pytest.raises(UserError, match="pixels.bin: the file is shorter"):
        on_disk[:]
    with pytest.raises(UserError, match="pixels.bin: the file is shorter"):
        DiskImages(path, SHAPE)


def test_file_that_is_removed_meanwhile_is_still_read(path, images):
    on_disk = DiskImages(path, SHAPE)
    path.unlink()
    np.testing.assert_array_equal(on_disk[:], images)


def test_file_is_let_go(path):
    on_disk = DiskImages(path, SHAPE)
    before = len(list(Path("/proc/self/fd").iterdir()))
    del on_disk
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1
