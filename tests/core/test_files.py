"""Files and folders are whole or not there; what was there before stays until then."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers import names_in

from cvae_tf.core import files
from cvae_tf.core.errors import UserError


def test_a_file_is_written_aside_and_renamed_into_place(tmp_path):
    path = tmp_path / "images" / "picture.png"
    for old, new in ((None, "first"), ("first", "second")):
        with files.replacing(path) as temporary:
            assert (temporary.parent, temporary.suffix) == (path.parent, ".png")
            temporary.write_text(new)
            assert (path.read_text() if path.exists() else None) == old
        assert path.read_text() == new
    with pytest.raises(RuntimeError, match="disk"), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")
    assert path.read_text() == "second" and names_in(path.parent) == ["picture.png"]


def test_a_folder_is_written_aside_and_exchanged(tmp_path, monkeypatch):
    path, rename = tmp_path / "export" / "1", Path.rename

    def rename_old_ones_only(source, target):
        if source.name.startswith(files.TEMPORARY) and not source.name.endswith("-old"):
            raise OSError("disk")
        return rename(source, target)

    for number, name in enumerate("ab"):
        with files.replacing_directory(path) as temporary:
            (temporary / name).write_text(name)
            assert path.exists() == (number > 0)
    for failure in (RuntimeError("disk"), None):  # of the writer, of the second renaming
        with pytest.raises((RuntimeError, UserError)), files.replacing_directory(path) as temporary:
            (temporary / "half").touch()
            if failure:
                raise failure
            monkeypatch.setattr(Path, "rename", rename_old_ones_only)
    assert names_in(path) == ["b"] and names_in(path.parent) == ["1"]


def test_what_takes_its_place_is_on_the_disk_before(tmp_path, monkeypatch):
    flushed, rename = [], os.rename

    def watched(source, target):
        assert {path.stat().st_ino for path in (source, *source.rglob("*"))} <= set(flushed)
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_ino))
    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, watched)
    files.write_json(tmp_path / "a.json", 1)
    with files.replacing_directory(tmp_path / "1") as temporary:
        (temporary / "a").touch()
    assert flushed[-1] == tmp_path.stat().st_ino


def test_of_two_who_write_the_same_both_are_heard_or_one_is_refused(tmp_path):
    path, folder = tmp_path / "a.json", tmp_path / "new" / "1"

    def write_meanwhile():
        files.write_json(path, "early")
        with files.replacing_directory(folder, True) as temporary:
            (temporary / "early").touch()

    refused = pytest.raises(UserError, match=f"^{folder}: cannot be written .*not empty")
    with refused, files.replacing_directory(folder, True), files.replacing(path) as temporary:
        temporary.write_text('"late"')
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write_meanwhile).result()
    assert files.read_json(path) == "late" and names_in(tmp_path) == ["a.json", "new"]
    assert names_in(folder) == ["early"] and names_in(folder.parent) == ["1"]
    with pytest.raises(UserError, match="exists"), files.replacing_directory(folder, True):
        pytest.fail("work was done in vain")


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path, table = tmp_path / "a.json", tmp_path / "b.csv"
    values = {"name": "Ziffern – 数字", "numbers": [1, 2.5, None]}
    files.write_json(path, values)
    files.write_table(table, ["name"], [["日本"]])
    with pytest.raises(TypeError):
        files.write_json(path, object())
    with pytest.raises(UserError, match="b.csv: cannot be written .*surrogates not allowed"):
        files.write_table(table, ["name"], [["\udcff"]])
    assert files.read_json(path) == values and names_in(tmp_path) == ["a.json", "b.csv"]
    assert table.read_text(encoding="utf-8") == "name\n日本\n"


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe"])
def test_what_is_no_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="broken.json: cannot be read as JSON"):
        files.read_json(path)


# Files of strangers are read without running or believing what they hold.

ARRAY = np.random.default_rng(0).integers(0, 256, 10_000).astype(np.uint8)


class _Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


def _refused(path, reason=""):
    told = f"^{path}: cannot be read as arrays; [^\n]*{reason}[^\n]*$"
    with pytest.raises(UserError, match=told):
        files.read_npz(path, ("x_train",))


def test_arrays_come_back_as_they_were_saved(tmp_path):
    path = tmp_path / "a.npz"
    array = np.arange(24).reshape(2, 3, 4).astype(">f4")
    saved = {"a": array, "f": np.asfortranarray(array), "text": np.array(["x", "yz"])}
    np.savez_compressed(path, **saved, other=array)
    arrays = files.read_npz(path, (*saved, "missing"))
    assert arrays.keys() == saved.keys()
    for name, expected in saved.items():
        assert arrays[name].dtype == expected.dtype
        np.testing.assert_array_equal(arrays[name], expected)
    np.save(path.with_suffix(".npy"), ARRAY)
    lone = files.read_npz(path.with_suffix(".npy"), (), lone="x_train")
    np.testing.assert_array_equal(lone["x_train"], ARRAY)


def test_other_and_damaged_files_are_refused_and_pickles_never_run(tmp_path):
    path = tmp_path / "a.npz"
    _refused(path, "No such file")
    np.savez(path, x_train=ARRAY)
    whole = path.read_bytes()
    flipped = whole[:5000] + bytes(255 - byte for byte in whole[5000:5010]) + whole[5010:]
    for content in (b"", b"just some text\n" * 20, flipped, whole[: len(whole) // 2]):
        path.write_bytes(content)
        _refused(path)
    trap = np.array([_Trap()])
    np.savez(path, allow_pickle=True, x_train=trap)
    _refused(path, "Object arrays")
    path.write_bytes(pickle.dumps(trap))
    _refused(path, "pickled")
