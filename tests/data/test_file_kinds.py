import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from cvae_tf.core.errors import MissingPathError, UserError
from cvae_tf.data.file_kinds import FOLDER, NPY, NPZ, kind_of


def _packed(*names):
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name in names:
                archive.writestr(name, b"")
        return file.getvalue()


NAMED, AN_NPY, PICKLE = _packed("x_train.npy"), b"\x93NUMPY\1\0", pickle.dumps(np.zeros(2))
CONTENTS = {  # what a file of some name holds, and its kind or the beginning of what is said of it
    "mine.npz": (NAMED, NPZ),
    "mine.npy": (AN_NPY, NPY),
    "an_npy.npz": (AN_NPY, NPY),
    "pictures.zip": (_packed("cat"), "an archive; unpack it"),
    "cut_off.zip": (NAMED[:50], "an archive; unpack it"),
    "pictures.tar": (bytes(257) + b"ustar", "an archive; unpack it"),
    "pictures.tar.gz": (b"\x1f\x8b\x08", "an archive; unpack it"),
    "a.h5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file; read its arrays by h5py.File, and write"),
    "a.mat": (b"MATLAB 5.0 MAT-file, Platform", "a MATLAB file; read its arrays by scipy.io"),
    "a.CSV": (b"1,2,3\n", "a table; if its rows are the pixels of images, write numpy.savez("),
    "a.xlsx": (_packed("xl/workbook.xml"), "a table; "),
    "a.pt": (_packed("archive/data.pkl"), "a file of PyTorch; "),
    "a.pkl": (PICKLE, "a pickle, which may run any code and is never loaded; "),
    "pickle.npz": (PICKLE, "a pickle, which may run any code and is never loaded; "),
    "a.keras": (_packed("model.weights.h5"), "a model; --data_path is for images"),
    "a.tfrecord": (b"\x99\0\0", "a file of TFRecords; read its arrays by tf.data"),
    "a.mp4": (b"\0\0\0 ftypisom", "a video; write its frames as pictures into a folder"),
    "a.png": (b"\x89PNG\r\n", "one picture; give the folder that holds all of them"),
    "a.webp": (b"RIFF\0\0\0\0WEBP", "one picture; "),
    "a.heic": (b"\0\0\0 ftypheic", "a picture of a kind that is not read here; make it a PNG"),
    "a.dcm": (bytes(128) + b"DICM", "a medical image; "),
    "train-images-idx3-ubyte": (b"\0\0\x08\x03\0\0", "an IDX file, as of MNIST; take --dataset"),
    "page.npz": (b"\n <!DOCTYPE html><p>", "a web page; download the file itself"),
    "pointer.npz": (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS, not"),
    "empty.npz": (b"", "empty; it may not have been copied"),
    "text.npz": (b"just some text", "not an .npz file, or a damaged one, nor anything else"),
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
    with pytest.raises(MissingPathError, match="Did you mean"):
        kind_of(tmp_path / "picture.zip")
    os.mkfifo(tmp_path / "pipe")  # which could be waited for without an end
    with pytest.raises(UserError, match="pipe: not an .npz file"):
        kind_of(tmp_path / "pipe")
