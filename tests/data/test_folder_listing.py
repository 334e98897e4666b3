import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from folder_helpers import READING, names_of, pixels_of, save, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data.folder_listing import list_pictures, listed, printable
from cvae_tf.reading import ReadingSettings


def test_pictures_anywhere_are_found_and_nothing_else(tmp_path):
    save_all(tmp_path, ["a.png", "b/c/d.JPG", "b/e.webp", "f.Gif"])
    for name in (".hidden.png", ".git/a.png", "__MACOSX/a.png", "b/Thumbs.db", "b/desktop.ini"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x89PNG")
    (tmp_path / "README.txt").write_text("Some pictures.")
    (tmp_path / "BMW.txt").write_text("BMW brochures are texts.")
    (tmp_path / "data.json").touch()
    assert names_of(tmp_path) == ["a.png", "b/c/d.JPG", "b/e.webp", "f.Gif"]


def test_pictures_are_known_by_content_where_the_suffix_does_not_tell(tmp_path):
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp", "jp2"):
        save(tmp_path / f"a.{suffix}", pixels_of(0)).rename(tmp_path / f"of_{suffix}")
    save(tmp_path / "a.png", pixels_of(0)).rename(tmp_path / "a.dat")
    assert len(names_of(tmp_path)) == 8
    (tmp_path / "text.png").write_text("a text, which is bad and not left alone")
    assert "text.png" in names_of(tmp_path)


def test_order_is_that_of_the_bytes_of_paths(tmp_path):
    names = ["a.png", "a/z.png", "a-b/c.png", "ab.png", "B.png", "b.png", "é.png", "a/b/c.png"]
    save_all(tmp_path, names)
    assert names_of(tmp_path) == sorted(names, key=os.fsencode)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other names")
def test_all_names_are_found(tmp_path):
    names = ["with space.png", "new\nline.png", "кошка.png", "猫/x.png", "A.png", "a.png"]
    names.append("\udcff.png")  # a byte that is no letter
    save_all(tmp_path, names)
    listing = list_pictures(tmp_path)
    assert {os.fsdecode(path) for path in listing.paths} == set(names)
    for number in range(len(names)):
        assert Path(listing.full_path(number)).is_file()


def test_links_that_lead_back_up_end(tmp_path):
    save_all(tmp_path / "root", ["a/b/1.png", "c/2.png"])
    (tmp_path / "root/a/b/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/a/b/here").symlink_to(".")
    (tmp_path / "root/c/self").symlink_to("self")
    (tmp_path / "root/c/over").symlink_to(tmp_path)
    assert names_of(tmp_path / "root") == ["a/b/1.png", "c/2.png"]


def test_links_to_files_and_other_folders_are_followed(tmp_path):
    save_all(tmp_path, ["elsewhere/1.png", "root/2.png"])
    (tmp_path / "root/link.png").symlink_to(tmp_path / "elsewhere/1.png")
    (tmp_path / "root/one").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/two").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/broken.png").symlink_to("nowhere.png")
    (tmp_path / "root/broken.txt").symlink_to("nowhere.txt")
    wanted = ["2.png", "broken.png", "link.png", "one/1.png", "two/1.png"]
    assert names_of(tmp_path / "root") == wanted


def test_folders_that_link_to_each_other_are_not_followed_without_end(tmp_path):
    """Ten of them have millions of paths without a repetition."""
    folders = [tmp_path / f"{number}" for number in range(10)]
    for folder in folders:
        folder.mkdir()
        (folder / "a.png").write_bytes(b"anything")
        for other in folders:
            (folder / f"to{other.name}").symlink_to(other)
    assert 10 <= len(names_of(tmp_path)) <= 1000


def test_pipes_and_sockets_are_left_alone(tmp_path, monkeypatch):
    save_all(tmp_path, ["a.png"])
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        assert names_of(tmp_path) == ["a.png"]


def test_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    save_all(tmp_path, ["a/1.png", "secret/2.png"])
    scandir = os.scandir

    def refuse(path):
        if path.rstrip(b"/").endswith(b"secret"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"secret/?: cannot be read \(Permission denied\)"):
        list_pictures(tmp_path)


def test_fingerprint_is_of_names_times_and_settings(tmp_path):
    save_all(tmp_path, ["a.png", "b.png"])

    def known(**settings):
        return list_pictures(tmp_path).fingerprint(ReadingSettings(**settings))

    seen = [known(), known(image_size="64"), known(image_size="64", fit="pad"), known(channels=3)]
    seen.append(known(background=9))
    os.utime(tmp_path / "a.png", ns=(0, 1))
    seen.append(known())
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    seen.append(known())
    save(tmp_path / "c.png", pixels_of(7))
    seen.append(known())
    assert len(set(seen)) == len(seen)
    assert known() == seen[-1] == known(skip_bad=True)


def test_listing_keeps_sizes_and_times(tmp_path):
    path = save(tmp_path / "a.png", pixels_of(0))
    status = path.stat()
    wanted = [[status.st_size, status.st_mtime_ns, status.st_ctime_ns]]
    np.testing.assert_array_equal(list_pictures(tmp_path).facts, wanted)


def test_folder_of_nothing(tmp_path):
    listing = list_pictures(tmp_path)
    assert listing.paths == [] and listing.facts.shape == (0, 3)
    assert listing.fingerprint(READING)


def test_all_folders_are_listed_however_deep(tmp_path):
    save_all(tmp_path, ["a/b/c/1.png"])
    (tmp_path / "x/y/z").mkdir(parents=True)
    assert list_pictures(tmp_path).folders == [b"a", b"a/b", b"a/b/c", b"x", b"x/y", b"x/y/z"]


def test_lists_are_short():
    assert listed(["b", b"a"]) == "b, a"
    assert listed([str(n) for n in range(1005)]) == "0, 1, 2, 3, 4 and 1,000 more"
    assert listed(tuple(map(str, range(100))), most=3) == "0, 1, 2 and 97 more"


def test_names_are_shown_in_one_line():
    assert printable("a\nb") == "a\\nb" and printable(b"\xff") == "\\udcff"
    assert printable("кошка 猫") == "кошка 猫" and len(printable("x" * 999)) < 150
