"""Kinds of files that people have their images in, and what to do with each."""

import zipfile
from pathlib import Path

from cvae_tf.core import paths
from cvae_tf.core.errors import UserError

FOLDER, NPZ, NPY = "folder", "npz", "npy"
_SAVE = "numpy.savez('images.npz', x_train=images, y_train=labels)"


def _read_by(function: str) -> str:
    return f"read its arrays by {function}, and write them by {_SAVE}"


# What a file is, and what to do with it.
_REMEDIES = {
    "archive": ("an archive", "unpack it, and give the folder, or the file that is in it"),
    "web page": ("a web page", "download the file itself, which this page may lead to"),
    "empty": ("empty", "it may not have been copied or downloaded to its end"),
    "hdf5": ("an HDF5 file", _read_by("h5py.File")),
    "idx": ("an IDX file, as of MNIST", f"take --dataset=mnist, or write arrays by {_SAVE}"),
    "lfs": ("a pointer of Git LFS, not the file itself", "fetch that by git lfs pull"),
    "matlab": ("a MATLAB file", _read_by("scipy.io.loadmat")),
    "model": ("a model", "--data_path is for images; --saved_model and --run_dir name models"),
    "other picture": ("a picture of a kind that is not read here", "make it a PNG or JPEG file"),
    "pickle": (
        "a pickle, which may run any code and is never loaded",
        f"if you trust it, {_read_by('pickle.load')}",
    ),
    "picture": ("one picture", "give the folder that holds all of them"),
    "scan": ("a medical image", f"write its slices as PNG files, or by {_SAVE}"),
    "table": (
        "a table",
        "if its rows are the pixels of images, write numpy.savez('images.npz', "
        "x_train=rows.reshape(-1, height, width)); if they name pictures, give their folder",
    ),
    "tfrecord": (
        "a file of TFRecords",
        _read_by("tf.data.TFRecordDataset"),
    ),
    "torch": (
        "a file of PyTorch",
        "write its images by numpy.savez('images.npz', x_train=images.numpy()), channels last",
    ),
    "video": (
        "a video",
        "write its frames as pictures into a folder, as by ffmpeg -i FILE frames/%06d.png",
    ),
}
_UNKNOWN = (
    "not an .npz file, or a damaged one, nor anything else that is known here",
    f"give a folder of pictures, or write arrays by {_SAVE}",
)

# How files begin; and bytes further on, after their number.
_STARTS = (
    (0, b"\x93NUMPY", NPY),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"\x1f\x8b", "archive"),
    (0, b"BZh", "archive"),
    (0, b"\xfd7zXZ\0", "archive"),
    (0, b"7z\xbc\xaf'\x1c", "archive"),
    (0, b"Rar!", "archive"),
    (0, b"\x28\xb5\x2f\xfd", "archive"),
    (257, b"ustar", "archive"),
    (0, b"PAR1", "table"),
    (0, b"ARROW1", "table"),
    (0, b"SQLite format 3", "table"),
    (0, b"MATLAB 5.0 MAT-file", "matlab"),
    *((0, bytes([0, 0, 8, dimensions]), "idx") for dimensions in (1, 3, 4)),
    (0, b"version https://git-lfs", "lfs"),
    (128, b"DICM", "scan"),
    (0, b"\x89PNG", "picture"),
    (0, b"\xff\xd8\xff", "picture"),
    (0, b"GIF8", "picture"),
    (0, b"II*\0", "picture"),
    (0, b"MM\0*", "picture"),
    (8, b"WEBP", "picture"),
    (4, b"ftypavif", "picture"),
    (4, b"ftyphei", "other picture"),
    (4, b"ftypmif1", "other picture"),
    (0, b"%PDF", "other picture"),
    (4, b"ftyp", "video"),
    (8, b"AVI ", "video"),
    (0, b"\x1aE\xdf\xa3", "video"),
)
_WEB_PAGES = (b"<!doctype html", b"<html")
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_LONGEST_START = 512  # bytes

# Of files whose content does not tell.
_SUFFIXES = {
    "archive": ".zip .tar .tgz .gz .bz2 .xz .7z .rar .zst .lz4",
    "hdf5": ".h5 .hdf5 .hdf .he5",
    "matlab": ".mat",
    "model": ".pb .tflite .onnx .safetensors .ckpt .keras .index",
    "other picture": ".heic .heif .svg .pdf .psd .eps .jxl .exr .hdr .dng .cr2 .nef .arw .xcf",
    "pickle": ".pkl .pickle .joblib .p",
    "picture": ".png .jpg .jpeg .bmp .gif .tif .tiff .webp .avif .jp2 .ppm .pgm .pbm .ico",
    "scan": ".dcm .nii .nii.gz .mha .mhd .nrrd",
    "table": ".csv .tsv .txt .json .jsonl .xlsx .xls .ods .parquet .feather .arrow .db .sqlite",
    "tfrecord": ".tfrecord .tfrecords .record",
    "torch": ".pt .pth",
    "video": ".mp4 .avi .mov .mkv .webm .mpg .mpeg .m4v .wmv",
}
_KINDS = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def kind_of(path: Path) -> str:
    """Finds out what is at a path; of a file by how it begins, else by its suffix.

    Returns:
        `FOLDER`, `NPZ` or `NPY`.

    Raises:
        UserError: if there is nothing, or nothing that can be read here; it says what to do.
    """
    paths.refuse_missing(path)
    if path.is_dir():
        return FOLDER
    try:
        kind = _guess(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    if kind in (NPZ, NPY):
        return kind
    what, remedy = _REMEDIES.get(kind, _UNKNOWN)
    raise UserError(f"{path}: {what}; {remedy}.")


def _guess(path: Path) -> str | None:
    """The kind of a file; None if nothing tells."""
    if not path.is_file() or path.name.lower().endswith(".nii.gz"):
        return "scan" if path.is_file() else None
    with path.open("rb") as file:
        start = file.read(_LONGEST_START)
    if not start:
        return "empty"
    if start.startswith(b"PK"):
        return _kind_of_zip(path)
    if start.lstrip().lower().startswith(_WEB_PAGES):
        return "web page"
    by_suffix = _KINDS.get(path.suffix.lower(), "pickle" if start.startswith(_PICKLES) else None)
    return next((kind for at, known, kind in _STARTS if start.startswith(known, at)), by_suffix)


def _kind_of_zip(path: Path) -> str:
    """What is packed as a ZIP archive; what is damaged is left to those who read it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return _KINDS.get(path.suffix.lower(), NPZ)
    if any(name.endswith(".npy") for name in names):
        return NPZ
    if not names:
        return "empty"
    if any(name.endswith("/data.pkl") for name in names):
        return "torch"
    if "model.weights.h5" in names:
        return "model"
    return "table" if any(name.startswith("xl/") for name in names) else "archive"
