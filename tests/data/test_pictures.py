import os
import struct
import zlib

import numpy as np
import pytest
from folder_helpers import pixels_of, save, save_tiff
from PIL import Image

from cvae_tf.data.pictures import (
    BadPictureError,
    Form,
    largest_level,
    read,
    read_picture,
    read_size,
    without_warnings,
)

# What is in the file


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp", "ppm", "jp2"])
def test_formats_without_loss_are_read_exactly_whatever_the_suffix(tmp_path, suffix):
    for channels in (1, 3):
        pixels = pixels_of(0, 9, 7, channels) // 64 * 85  # a GIF has but 256 colours
        options = {"lossless": True} if suffix == "webp" else {}
        path = save(tmp_path / f"a.{suffix}", pixels, **options).rename(tmp_path / "no_suffix")
        np.testing.assert_array_equal(read_picture(path, Form()), pixels)


def _deep_file(path, kind):
    """Writes levels of 12 bits in 16; returns them, with a last axis."""
    import tensorflow as tf

    bands = {"png la": 2, "png rgb": 3, "png rgba": 4}.get(kind, 3 if "tiff rgb" in kind else 1)
    levels = np.random.default_rng(0).integers(0, 4096, (9, 12, bands)).astype(np.uint16)
    levels[0, 0, 0] = 4095
    if bands in (2, 4):
        levels[..., -1] = 65535  # opaque
    if kind.startswith("png"):  # by another library
        path.write_bytes(tf.io.encode_png(levels).numpy())
    else:
        dtype = {"tiff int16": np.int16, "tiff int32": np.int32}.get(kind, np.uint16)
        save_tiff(path, levels.astype(dtype), COMPRESSION=8 if "deflated" in kind else 1)
    return levels[..., :-1] if bands in (2, 4) else levels


DEEP = ["png", "png la", "png rgb", "png rgba", "tiff", "tiff int16", "tiff int32", "tiff rgb",
        "tiff rgb deflated"]  # fmt: skip


@pytest.mark.parametrize("kind", DEEP)
def test_bits_that_are_used_of_16_become_all_levels(tmp_path, kind):
    path = tmp_path / "a.bin"
    levels = _deep_file(path, kind)
    assert largest_level(path) == (4095, True)
    for form, white in (
        (Form(deep_white_level=4095), 4095),
        (Form(white_level=2000), 2000),
        (Form(), 65535),
    ):
        picture = read(path, form)
        wanted = np.rint(np.minimum(levels * 255.0 / white, 255))
        np.testing.assert_array_equal(picture.pixels, wanted)
        assert picture.is_deep


@pytest.mark.parametrize(
    ("dtype", "ink", "form"),
    [
        (np.uint8, 255, Form()),
        (np.uint16, 65535, Form()),
        (np.uint16, 4095, Form(deep_white_level=4095)),
    ],
)
def test_tiff_in_which_0_is_white_is_no_negative(tmp_path, dtype, ink, form):
    drawn = (np.eye(8) * ink).astype(dtype)
    path = save_tiff(tmp_path / "a.tif", drawn, PHOTOMETRIC_INTERPRETATION=0)
    np.testing.assert_array_equal(read_picture(path, form)[..., 0], 255 * (1 - np.eye(8)))


def test_one_bit_and_floats_and_ink_become_8_bits(tmp_path):
    def pixels_of_saved(picture):
        picture.save(tmp_path / "a.tif")
        return read_picture(tmp_path / "a.tif", Form())

    one_bit = pixels_of_saved(Image.fromarray(np.eye(8) > 0))
    np.testing.assert_array_equal(one_bit[..., 0], np.eye(8) * 255)
    levels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    floats = pixels_of_saved(Image.fromarray(levels))
    np.testing.assert_allclose(floats[..., 0], levels * 255, atol=0.51)
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[:4, :, 0] = 255  # cyan, which keeps red back
    coloured = pixels_of_saved(Image.fromarray(ink, "CMYK"))
    assert coloured[[0, 7], 0].tolist() == [[0, 255, 255], [255, 255, 255]]


def _floats(value):
    return np.full((8, 8), value, np.float32)


@pytest.mark.parametrize(
    ("samples", "tags", "reason"),
    [
        (np.zeros((8, 8, 13), np.uint8), {}, "13 bands of 8-bit unsigned numbers; save it"),
        (np.zeros((8, 8), np.float16), {}, "1 band of 16-bit float numbers"),
        (np.zeros((8, 8), np.float64), {}, "1 band of 64-bit float numbers"),
        (np.zeros((8, 8, 3), np.float32), {}, "3 bands of 32-bit float numbers"),
        (np.zeros((8, 8), np.complex64), {}, "1 band of 64-bit complex numbers"),
        # These Pillow would read, and wrongly.
        (np.zeros((8, 8, 3), np.uint16), {"are_planes": True}, "numbers, one after the other"),
        (np.zeros((8, 8), np.int8), {}, "1 band of 8-bit signed numbers"),
        (np.zeros((8, 8, 2), np.uint8), {}, "2 bands of 8-bit unsigned numbers"),
        (np.full((8, 8), -3, np.int16), {}, "levels from -3 to -3; black must be 0"),
        (np.full((8, 8), 70000, np.int32), {}, "not 16 bits; --white_level=auto takes them"),
        (_floats(255), {}, r"not floats in \[0, 1\]; --white_level=auto"),
        (_floats(-1), {}, "levels from -1 to -1; black must be 0"),
        (_floats(np.nan), {}, "no finite numbers"),
    ],
)
def test_odd_tiffs_say_what_they_are_and_nothing_else_is_said(
    tmp_path, samples, tags, reason, capfd, caplog
):
    path = save_tiff(tmp_path / "a.tif", samples, **tags)
    with without_warnings(), pytest.raises(BadPictureError, match=reason):
        read_picture(path, Form())
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_white_level_scales_8_bits_but_not_the_background(tmp_path):
    levels = np.array([[0, 1, 2, 4, 9]] * 5, np.uint8)
    mask = save(tmp_path / "mask.png", levels[..., np.newaxis])
    pixels = read_picture(mask, Form(white_level=4))
    assert pixels[0, :, 0].tolist() == [0, 64, 128, 255, 255]
    clear = save(tmp_path / "clear.png", np.stack([levels, np.zeros_like(levels)], axis=-1))
    picture = read(clear, Form(white_level=4, background=100))
    assert np.all(picture.pixels == 100) and picture.is_transparent


def _with_transparency(path, kind):
    """Writes columns of 200: three transparent, three half so if there is such, three opaque."""
    if kind in ("RGBA", "LA"):
        levels = np.full((8, 9, 4), 200, np.uint8)
        levels[..., 3] = np.repeat([0, 128, 255], 3)
        Image.fromarray(levels).convert(kind).save(path)
    elif kind == "16 bits":
        levels = np.full((8, 9), 200 * 257, np.uint16)
        levels[:, :3] = 500
        Image.fromarray(levels).save(path, transparency=500)
    else:
        picture = Image.new("RGB", (9, 8), (200, 200, 200))
        picture.paste((1, 2, 3), (0, 0, 3, 8))
        if kind == "P":
            picture = picture.convert("P", palette=Image.Palette.ADAPTIVE)
        picture.save(path, transparency=picture.getpixel((0, 0)))


@pytest.mark.parametrize(
    ("kind", "half"), [("RGBA", 150), ("LA", 150), ("P", 200), ("RGB", 200), ("16 bits", 200)]
)
def test_transparency_is_over_the_background(tmp_path, kind, half):
    _with_transparency(tmp_path / "a.png", kind)
    row = read_picture(tmp_path / "a.png", Form(background=100))[0, ::3, 0]
    np.testing.assert_allclose(row, [100, half, 200], atol=1)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_pages_are_counted_and_read_one_by_one(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (255, 128, 0)]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    for page, level in enumerate((255, 128, 0)):
        picture = read(tmp_path / f"a.{suffix}", Form(channels=3), page)
        assert np.all(picture.pixels == [level, 0, 0]) and picture.num_pages == 3
    frames[0].save(tmp_path / f"one.{suffix}", **options)
    assert read(tmp_path / f"one.{suffix}", Form()).num_pages == 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_pictures_stand_upright(tmp_path, suffix):
    """What was seen: bright at the top, brighter at the left; the file has it as the camera lay."""
    seen = np.full((24, 16), 10, np.uint8)
    seen[:8], seen[:8, :8] = 120, 250
    as_it_lay = [seen, np.fliplr(seen), np.rot90(seen, 2), np.flipud(seen), seen.T,
                 np.rot90(seen), np.rot90(seen, 2).T, np.rot90(seen, -1)]  # fmt: skip
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"a.{suffix}"
    for orientation, lying in enumerate(as_it_lay, 1):
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(np.ascontiguousarray(lying)).save(path, exif=exif, **options)
        pixels = read_picture(path, Form())[..., 0].astype(int)
        np.testing.assert_allclose(pixels, seen, atol=12, err_msg=str(orientation))
        assert read_size(path) == (24, 16)


@pytest.mark.filterwarnings("ignore")
def test_damaged_notes_of_a_camera_do_no_harm(tmp_path):
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff nonsense"
    path = save(tmp_path / "a.jpg", pixels_of(0, 16, 16, 3), exif=exif)
    assert read_picture(path, Form()).shape == (16, 16, 3)


# Channels and sizes


def test_channels_are_those_of_the_picture_or_as_asked_for(tmp_path):
    grey = np.repeat(pixels_of(1), 3, axis=-1)
    path = save(tmp_path / "a.png", grey)
    np.testing.assert_array_equal(read_picture(path, Form()), grey[..., :1])
    np.testing.assert_array_equal(read_picture(path, Form(channels=3)), grey)
    grey[3, 3, 2] ^= 1  # one pixel is not quite grey
    np.testing.assert_array_equal(read_picture(save(path, grey), Form()), grey)
    save(path, np.full((8, 8, 3), [255, 0, 0], np.uint8))
    brightness = round(0.299 * 255)  # of red
    assert np.all(read_picture(path, Form(channels=1)) == brightness)


def test_pictures_are_cut_or_get_margins_or_are_stretched(tmp_path):
    wide = np.zeros((20, 60, 1), np.uint8)
    wide[:, 20:40] = 200
    path = save(tmp_path / "a.png", wide)

    def row(fit):
        form = Form((12, 12), fit, background=7)
        pixels = read_picture(path, form)[..., 0]
        assert np.all(pixels[[0, 11]] == 7) == (fit == "pad")
        return pixels[6].astype(int)

    near = {"atol": 12}  # a little comes from beyond the edges
    np.testing.assert_allclose(row("crop"), 200, **near)
    for fit in ("pad", "stretch"):
        np.testing.assert_allclose(row(fit)[[0, 2, 5, 6, 9, 11]], [0, 0, 200, 200, 0, 0], **near)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_any_size_becomes_the_size_asked_for(tmp_path, fit):
    for size in ((1, 1), (3, 300), (64, 64), (1, 2000)):
        path = save(tmp_path / "a.png", pixels_of(0, *size, 3))
        assert read_picture(path, Form((24, 16), fit)).shape == (24, 16, 3)
        assert read_size(path) == size


def test_shrinking_is_antialiased_and_of_a_jpeg_as_if_decoded_in_full(tmp_path):
    fine = np.zeros((256, 256, 1), np.uint8)
    fine[:, ::2] = 255  # lines finer than a pixel of the result: grey, not some of the lines
    pixels = read_picture(save(tmp_path / "fine.png", fine), Form((8, 8)))
    assert pixels.min() >= 120 and pixels.max() <= 136
    waves = np.rint(128 + 100 * np.sin(np.arange(600) * 2 * np.pi / 20)).astype(np.uint8)
    pixels = np.tile(waves[np.newaxis, :, np.newaxis], (450, 1, 1))
    small, wanted = (
        read_picture(save(tmp_path / name, pixels, **options), Form((64, 64))).astype(int)
        for name, options in (("a.jpg", {"quality": 95}), ("a.png", {}))
    )
    np.testing.assert_allclose(small[:, 4:-4], wanted[:, 4:-4], atol=12)


# Bad files


def _reason(path):
    with pytest.raises(BadPictureError) as caught:
        read_picture(path, Form((16, 16)))
    reason = str(caught.value)
    assert 0 < len(reason) < 120 and "\n" not in reason
    return reason


def _png(width, height, data):
    """A PNG whose header says what it likes."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.filterwarnings("ignore")
def test_a_bomb_is_refused_by_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    for side in (60_000, 12_000):
        path.write_bytes(_png(side, side, bytes(1000)))
        assert "pixels" in _reason(path)
        with pytest.raises(BadPictureError):
            read_size(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_truncated_files_are_refused(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", pixels_of(0, 64, 64, 3))
    whole = path.read_bytes()
    for share in (0.5, 0.1):
        path.write_bytes(whole[: int(len(whole) * share)])
        _reason(path)


def test_what_is_no_picture_is_refused_and_what_is_no_file_not_even_opened(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    assert _reason(path) == "No such file or directory"
    for content, reason in (
        (b"", "an empty file"),
        (b"P is how some formats begin, but this is a text.\n", "its content is no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "its content is no picture"),
    ):
        path.write_bytes(content)
        assert _reason(path) == reason
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.delattr(os, "open")
    for path in (tmp_path / "pipe.png", tmp_path, "/dev/zero"):
        assert _reason(path) == "no regular file"
