import io
import os
import zipfile

import pytest

from cvae_tf.core.errors import MissingPathError, UserError
from cvae_tf.data.file_kinds import FOLDER, NPY, NPZ, kind_of


def _packed(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"")
    return file.getvalue()


NAMED, AN_NPY = _packed("x_train.npy"), b"\x93NUMPY\1\0"
OTHERS = "not a picture, an .npz or .npy, or a damaged one; give a folder of pictures, or write"
CONTENTS = {  # what a file of some name holds, and its kind or the beginning of what is said of it
    "mine.npz": (NAMED, NPZ),
    "no_suffix": (NAMED, NPZ),
    "cut_off.npz": (NAMED[:50], NPZ),  # which is found out where it is read
    "mine.npy": (AN_NPY, NPY),
    "an_npy.npz": (AN_NPY, NPY),
    "pictures.zip": (_packed("cat"), "an archive; unpack it"),
    "cut_off.zip": (NAMED[:50], "an archive; unpack it"),
    "pictures.tar.gz": (b"\x1f\x8b\x08", "an archive; unpack it"),
    "a.PNG": (b"\x89PNG\r\n", "one picture; give the folder that holds all of them"),
    "page.npz": (b"\n <!DOCTYPE html><p>", "a web page; download the file itself"),
    "pointer.npz": (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS, not"),
    "empty.npz": (b"", "empty; it may not have been copied"),
    "pickle.npz": (b"\x80\4\x95", OTHERS),
    "a.h5": (b"\x89HDF\r\n\x1a\n", OTHERS),
    "a.pt": (_packed("archive/data.pkl"), OTHERS),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_each_kind_of_file_is_read_or_told_what_to_do(tmp_path, name):
    content, expected = CONTENTS[name]
    path = tmp_path / name
    path.write_bytes(content)
    if expected in (NPZ, NPY):
        assert kind_of(path) == expected
        return
    with pytest.raises(UserError) as error:
        kind_of(path)
    assert str(error.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_known_without_being_opened(tmp_path):
    (tmp_path / "pictures.zip").mkdir()
    assert kind_of(tmp_path / "pictures.zip") == FOLDER
    with pytest.raises(MissingPathError, match="no such file or folder"):
        kind_of(tmp_path / "picture.zip")
    os.mkfifo(tmp_path / "pipe")  # which could be waited for without an end
    with pytest.raises(UserError, match="pipe: not a picture"):
        kind_of(tmp_path / "pipe")
