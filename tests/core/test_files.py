import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cvae_tf.core import files
from cvae_tf.core.errors import UserError


def _names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_replacing_puts_the_new_file_in_place(tmp_path):
    path = tmp_path / "picture.png"
    path.write_text("old")
    with files.replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert _names(tmp_path) == ["picture.png"]


def test_replacing_writes_beside_the_file_and_keeps_its_suffix(tmp_path):
    with files.replacing(tmp_path / "picture.png") as temporary:
        temporary.touch()
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".png")


def test_replacing_leaves_the_old_file_and_nothing_else_if_writing_fails(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="disk"), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["metrics.csv"]


def test_replacing_directory_replaces_the_whole_folder(tmp_path):
    path = tmp_path / "export" / "1"
    for name in ("a", "b"):
        with files.replacing_directory(path) as temporary:
            (temporary / "inner").mkdir()
            (temporary / "inner" / name).write_text(name)
    assert _names(path / "inner") == ["b"]
    assert _names(path.parent) == ["1"]


def test_replacing_directory_leaves_the_old_folder_and_nothing_else_if_writing_fails(tmp_path):
    path = tmp_path / "1"
    path.mkdir()
    (path / "model").write_text("old")
    with pytest.raises(RuntimeError, match="disk"), files.replacing_directory(path) as temporary:
        (temporary / "model").write_text("half")
        raise RuntimeError("disk")
    assert (path / "model").read_text() == "old"
    assert _names(tmp_path) == ["1"]


def test_missing_folders_are_made(tmp_path):
    with files.replacing(tmp_path / "images" / "a.png") as temporary:
        temporary.touch()
    assert _names(tmp_path / "images") == ["a.png"]


def test_threads_that_write_the_same_file_do_not_meet(tmp_path):
    together = threading.Barrier(8)

    def write(number):
        together.wait()
        for _ in range(20):
            files.write_json(tmp_path / "a.json", [number] * 1000)
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(8))) == list(range(8))
    assert len(set(files.read_json(tmp_path / "a.json"))) == 1
    assert _names(tmp_path) == ["a.json"]


def test_creating_directory_refuses_what_is_there(tmp_path):
    (tmp_path / "1").mkdir()
    with (
        pytest.raises(UserError, match="1 exists; choose another directory"),
        files.creating_directory(tmp_path / "1"),
    ):
        pytest.fail("work was done in vain")
    assert _names(tmp_path) == ["1"]


def test_of_many_who_create_a_directory_one_succeeds(tmp_path):
    together = threading.Barrier(8)

    def create(number):
        try:
            with files.creating_directory(tmp_path / "new" / "1") as temporary:
                (temporary / "writer").write_text(str(number))
                together.wait()
        except UserError as error:
            return str(error)
        return number

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(create, range(8)))
    (winner,) = [result for result in results if isinstance(result, int)]
    losers = [result for result in results if result != winner]
    assert set(losers) == {f"{tmp_path}/new/1 exists; choose another directory."}
    assert (tmp_path / "new" / "1" / "writer").read_text() == str(winner)
    assert _names(tmp_path / "new") == ["1"]


def test_json_comes_back_as_it_was_written(tmp_path):
    values = {"name": "Ziffern – 数字", "numbers": [1, 2.5, None]}
    files.write_json(tmp_path / "a.json", values)
    assert files.read_json(tmp_path / "a.json") == values


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, "old")
    with pytest.raises(TypeError):
        files.write_json(path, object())
    assert files.read_json(path) == "old"
    assert _names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="broken.json: cannot be read as JSON"):
        files.read_json(path)


def test_missing_json_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="nowhere.json: cannot be read"):
        files.read_json(tmp_path / "nowhere.json")


def test_letters_that_cannot_be_written_leave_what_was_there(tmp_path):
    files.write_table(tmp_path / "a.csv", ["name"], [["日本"]])
    with pytest.raises(UserError, match="a.csv: cannot be written .*surrogates not allowed"):
        files.write_table(tmp_path / "a.csv", ["name"], [["\udcff"]])
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "name\n日本\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
