"""Which files of a folder are pictures, and what becomes of the others."""

import os
from unittest.mock import Mock

import pytest
from folder_helpers import listing_of, pixels_of, save, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data import folder_listing
from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.data.settings import ReadingSettings


def _names(root):
    return [os.fsdecode(path) for path in list_pictures(root).paths]


def test_pictures_are_found_by_suffix_or_content_in_the_order_of_bytes(tmp_path):
    names = ["a.png", "a/z.JPG", "a-b/c.webp", "B.Gif", "b.png", "猫.png", "x\ny.png", "\udcff.png"]
    save_all(tmp_path, names)
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp", "jp2"):
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

    seen = [known()]
    save_all(tmp_path, ["a.png", "b.png"])
    seen += [known(), known(image_size="64"), known(image_size="64", fit="pad"), known(channels=3),
             known(background=9), known(white_level="9"), known(pages="all")]  # fmt: skip
    os.utime(tmp_path / "a.png", ns=(0, 1))
    seen.append(known())
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    seen.append(known())
    assert len(set(seen)) == len(seen) and known() == seen[-1] == known(skip_bad=True)


def test_other_files_are_counted_by_suffix(tmp_path):
    names = ["a.HEIC", "a/b.heic", "x.csv", "y.nii.gz", "z.tar.gz", "LICENSE", "Dr. No and so on"]
    for name in [*names, ".hidden", "Thumbs.db", "b/y.csv", "v1.2.gz"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = folder_listing.describe_left_alone(list_pictures(tmp_path).left_alone)
    assert found == "2 without a suffix, 2 .csv, 2 .heic, 1 .gz, 1 .nii.gz and 1 more"


NO_PICTURES = {
    "": "files.",
    "a/{1.dcm,2.npy} x.txt": "convert .dcm, .npy to PNG or JPEG.",
    "film.mp4": "but 1 .mp4. To use them, save the frames of .mp4 as PNG or JPEG.",
    "mine.npz": "but 1 .npz. To use them, give the .npz itself to --data_path.",
}


@pytest.mark.parametrize(("others", "text"), NO_PICTURES.items())
def test_a_folder_without_pictures_is_refused_with_what_it_holds(others, text):
    with pytest.raises(UserError, match="^data: holds no pictures, such as PNG") as caught:
        folder_listing.refuse_without_pictures(listing_of("", others))
    assert str(caught.value).endswith(text) and "\n" not in str(caught.value)


WARNINGS = {
    "train.csv": "train.csv may hold labels, but tables are not read",
    "labels/{1,2}.txt": "labels/1.txt and 1 more may hold labels",
    "{trainLabels,classes}.txt": "trainLabels.txt and 1 more may hold labels",
    "{1,2}.heic 3.psd x.zip": "2 .heic, 1 .psd cannot be read as pictures and are left alone",
    "README.txt LICENSE x.zip x.mp4 paper.pdf": None,
}


@pytest.mark.parametrize(("others", "warning"), WARNINGS.items())
def test_tables_and_pictures_that_are_not_read_are_warned_of(others, warning, capsys):
    listing = listing_of("images/1.png", others)
    folder_listing.warn_of_unread_pictures(listing)
    folder_listing.warn_of_tables(listing)
    warned = capsys.readouterr().err
    assert warned.count("\n") == bool(warning) and (warning or "") in warned
