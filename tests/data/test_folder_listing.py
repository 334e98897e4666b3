"""Which files of a folder are pictures, and what becomes of the others."""

import os
from unittest.mock import Mock

import pytest
from folder_helpers import expand, pixels_of, save, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.data.settings import ReadingSettings


def _names(root):
    return [os.fsdecode(path) for path in list_pictures(root).paths]


def test_pictures_are_found_by_suffix_or_content_in_the_order_of_bytes(tmp_path):
    names = ["a.png", "a/z.JPG", "a-b/c.webp", "B.Gif", "b.png", "猫.png", "x\ny.png", "\udcff.png"]
    save_all(tmp_path, names)
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp"):
        save(tmp_path / f"of.{suffix}", pixels_of(0)).rename(tmp_path / f"of_{suffix}")
        names.append(f"of_{suffix}")
    (tmp_path / "empty/er").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe.png")
    for name in (".hidden.png", ".git/a.png", "__MACOSX/a.png", "Thumbs.db", "a/desktop.ini"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x89PNG")
    for name in ("text.png", "BMW.txt"):
        (tmp_path / name).write_text("BMW brochures are texts.")
    assert _names(tmp_path) == sorted([*names, "text.png"], key=os.fsencode)
    assert list_pictures(tmp_path).folders == [b"a-b", b"a", b"empty", b"empty/er"]


def test_links_are_followed_but_not_round_in_circles(tmp_path):
    save_all(tmp_path, ["elsewhere/1.png", "root/a/b/2.png"])
    links = {"one.png": "../elsewhere/1.png", "one": "../elsewhere", "two": "../elsewhere",
             "broken.png": "nowhere.png", "broken.txt": "nowhere.txt", "a/b/up": "../..",
             "a/b/here": ".", "a/self": "self", "a/over": "../.."}  # fmt: skip
    for name, target in links.items():
        (tmp_path / "root" / name).symlink_to(target)
    wanted = ["a/b/2.png", "a/over/elsewhere/1.png", "broken.png", "one.png", "one/1.png"]
    assert _names(tmp_path / "root") == [*wanted, "two/1.png"]


def test_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "scandir", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(UserError, match=rf"{tmp_path}: cannot be read \(Permission denied\)"):
        list_pictures(tmp_path)


def test_fingerprint_is_of_names_times_and_settings(tmp_path):
    def known(**settings):
        return list_pictures(tmp_path).fingerprint(ReadingSettings(**settings))

    save_all(tmp_path, ["a.png", "b.png"])
    seen = [known(), known(image_size="64"), known(image_size="64", fit="pad"), known(channels=3),
            known(background=9), known(white_level="9"), known(pages="all")]  # fmt: skip
    os.utime(tmp_path / "a.png", ns=(0, 1))
    seen.append(known())
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    seen.append(known())
    assert len(set(seen)) == len(seen) and known() == seen[-1] == known(skip_bad=True)


NO_PICTURES = {
    "": "WebP files.",
    "a.HEIC a/b.heic 1.dcm {a,b}/y.csv x.nii.gz z.tar.gz z.tiffs LICENSE .x Thumbs.db": ", but "
    "2 .csv, 2 .gz, 2 .heic, 1 without a suffix, 1 .dcm and 1 more. Unpack the archives.",
    "a/{1.dcm,2.heic}": ", but 1 .dcm, 1 .heic. If they are pictures, make them PNG or JPEG.",
    "mine.npz": ", but 1 .npz. Give a file of arrays itself to --data_path.",
}


@pytest.mark.parametrize(("others", "text"), NO_PICTURES.items())
def test_other_files_are_counted_and_a_folder_without_pictures_is_refused(tmp_path, others, text):
    for name in expand(others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=f"^{tmp_path}: holds no pictures, such as PNG") as caught:
        list_pictures(tmp_path)
    assert str(caught.value).endswith(text) and "\n" not in str(caught.value)
