"""Files and folders are whole or not there; what was there before stays until then."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cvae_tf.core import files
from cvae_tf.core.errors import UserError


def _names(directory):
    return sorted(path.name for path in directory.iterdir())


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
    assert path.read_text() == "second" and _names(path.parent) == ["picture.png"]


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_folder_is_written_aside_and_exchanged(tmp_path, monkeypatch, in_one_step):
    if not in_one_step:  # as where the system cannot exchange two names
        monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: object())
    path = tmp_path / "export" / "1"
    for number, name in enumerate("ab"):
        with files.replacing_directory(path) as temporary:
            (temporary / name).write_text(name)
            assert path.exists() == (number > 0)
    with pytest.raises(RuntimeError, match="disk"), files.replacing_directory(path) as temporary:
        (temporary / "half").touch()
        raise RuntimeError("disk")
    assert _names(path) == ["b"] and _names(path.parent) == ["1"]


def test_what_takes_its_place_is_on_the_disk_before(tmp_path, monkeypatch):
    flushed, replace = [], Path.replace

    def watched(source, target):
        assert {path.stat().st_ino for path in (source, *source.rglob("*"))} <= set(flushed)
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_ino))
    monkeypatch.setattr(Path, "replace", watched)
    files.write_json(tmp_path / "a.json", 1)
    with files.replacing_directory(tmp_path / "1") as temporary:
        (temporary / "a").touch()
    assert flushed[-1] == tmp_path.stat().st_ino


def test_threads_that_write_the_same_file_do_not_meet(tmp_path):
    path, together = tmp_path / "a.json", threading.Barrier(4)

    def write(number):
        together.wait()
        for _ in range(10):
            files.write_json(path, [number] * 1000)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(set(files.read_json(path))) == 1 and _names(tmp_path) == ["a.json"]


def test_of_many_who_create_a_folder_one_succeeds(tmp_path):
    path, together = tmp_path / "new" / "1", threading.Barrier(4)

    def create(number):
        try:
            with files.creating_directory(path) as temporary:
                (temporary / str(number)).touch()
                together.wait()
        except UserError as error:
            return str(error)
        return str(number)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(create, range(4)))
    refusal = f"{path} exists; choose another directory."
    assert set(results) == {*_names(path), refusal} and results.count(refusal) == 3
    with pytest.raises(UserError, match="exists"), files.creating_directory(path):
        pytest.fail("work was done in vain")
    assert _names(path.parent) == ["1"]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path, table = tmp_path / "a.json", tmp_path / "b.csv"
    values = {"name": "Ziffern – 数字", "numbers": [1, 2.5, None]}
    files.write_json(path, values)
    files.write_table(table, ["name"], [["日本"]])
    with pytest.raises(TypeError):
        files.write_json(path, object())
    with pytest.raises(UserError, match="b.csv: cannot be written .*surrogates not allowed"):
        files.write_table(table, ["name"], [["\udcff"]])
    assert files.read_json(path) == values and _names(tmp_path) == ["a.json", "b.csv"]
    assert table.read_text(encoding="utf-8") == "name\n日本\n"


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="broken.json: cannot be read as JSON"):
        files.read_json(path)
