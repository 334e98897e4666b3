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


def _photograph(height, width):
    """Smooth colours, which survive the losses of JPEG."""
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.rint(255 * np.stack([down, across, 1 - down], axis=-1)).astype(np.uint8)


def _png(width, height, data=b""):
    """A PNG whose header says what it likes."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# What is in the file


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp", "ppm", "jp2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_formats_without_loss_are_read_exactly(tmp_path, suffix, channels):
    pixels = pixels_of(0, 9, 7, channels) // 64 * 85  # few colours: a GIF has no more than 256
    options = {"lossless": True} if suffix == "webp" else {}
    save(tmp_path / f"a.{suffix}", pixels, **options)
    (tmp_path / f"a.{suffix}").rename(tmp_path / "without_suffix")
    np.testing.assert_array_equal(read_picture(tmp_path / "without_suffix", Form()), pixels)


def test_jpeg_is_read_nearly(tmp_path):
    pixels = _photograph(40, 30)
    save(tmp_path / "a.jpg", pixels, quality=95)
    np.testing.assert_allclose(
        read_picture(tmp_path / "a.jpg", Form()).astype(int), pixels, atol=12
    )


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled(tmp_path, suffix):
    levels = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    Image.fromarray(levels).save(tmp_path / f"a.{suffix}")
    pixels = read_picture(tmp_path / f"a.{suffix}", Form())
    np.testing.assert_array_equal(pixels[..., 0], np.rint(levels / 257))


def test_floats_from_0_to_1_are_scaled_and_others_refused(tmp_path):
    levels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "a.tif")
    pixels = read_picture(tmp_path / "a.tif", Form())[..., 0]
    np.testing.assert_allclose(pixels, levels * 255, atol=0.51)
    for odd, fault in (
        (levels * 2, "not floats"),
        (levels - 1, "from -1"),
        (levels * np.nan, "no"),
    ):
        Image.fromarray(odd).save(tmp_path / "b.tif")
        with pytest.raises(BadPictureError, match=fault):
            read_picture(tmp_path / "b.tif", Form())


def _deep_file(path, kind):
    """Writes levels of 12 bits in 16; returns them, with a last axis."""
    import tensorflow as tf

    bands = {"png la": 2, "png rgb": 3, "png rgba": 4, "tiff rgb": 3}.get(kind, 1)
    levels = np.random.default_rng(0).integers(0, 4096, (9, 12, bands)).astype(np.uint16)
    levels[0, 0, 0] = 4095
    if bands in (2, 4):
        levels[..., -1] = 65535  # opaque
    if kind.startswith("png"):  # by another library
        path.write_bytes(tf.io.encode_png(levels).numpy())
    else:
        dtype = {"tiff int16": np.int16, "tiff int32": np.int32}.get(kind, np.uint16)
        save_tiff(path, levels.astype(dtype))
    return levels[..., :-1] if bands in (2, 4) else levels


@pytest.mark.parametrize(
    "kind",
    ["png", "png la", "png rgb", "png rgba", "tiff", "tiff int16", "tiff int32", "tiff rgb"],
)
def test_bits_that_are_used_of_16_become_all_levels(tmp_path, kind):
    path = tmp_path / "a.bin"
    levels = _deep_file(path, kind)
    assert largest_level(path) == (4095, True)
    picture = read(path, Form(deep_white_level=4095))
    assert picture.is_deep
    np.testing.assert_array_equal(picture.pixels, np.rint(levels * 255.0 / 4095))
    np.testing.assert_array_equal(read_picture(path, Form(white_level=2000)), _scaled(levels, 2000))
    np.testing.assert_array_equal(read_picture(path, Form()), _scaled(levels, 65535))


def _scaled(levels, white):
    return np.rint(np.minimum(levels * 255.0 / white, 255))


@pytest.mark.parametrize("compression", [1, 8])  # each is decoded by other code of Pillow's
def test_colours_of_16_bits_keep_their_lower_bytes(tmp_path, compression):
    levels = np.random.default_rng(0).integers(0, 65536, (8, 8, 3)).astype(np.uint16)
    path = save_tiff(tmp_path / "a.tif", levels, COMPRESSION=compression)
    np.testing.assert_array_equal(read_picture(path, Form()), _scaled(levels, 65535))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_with_black_as_its_largest_level_is_no_negative(tmp_path, dtype):
    ink = (np.eye(8) * np.iinfo(dtype).max).astype(dtype)  # 0 is white
    path = save_tiff(tmp_path / "a.tif", ink, PHOTOMETRIC_INTERPRETATION=0)
    np.testing.assert_array_equal(read_picture(path, Form())[..., 0], 255 * (1 - np.eye(8)))


def test_negative_of_12_bits_is_turned_within_its_bits(tmp_path):
    ink = (np.eye(8) * 4095).astype(np.uint16)
    path = save_tiff(tmp_path / "a.tif", ink, PHOTOMETRIC_INTERPRETATION=0)
    pixels = read_picture(path, Form(deep_white_level=4095))[..., 0]
    np.testing.assert_array_equal(pixels, 255 * (1 - np.eye(8)))


def test_white_level_scales_8_bits_below_transparency_too(tmp_path):
    levels = np.array([[0, 1, 2, 4, 9]] * 5, np.uint8)
    save(tmp_path / "mask.png", levels[..., None])
    pixels = read_picture(tmp_path / "mask.png", Form(white_level=4))[0, :, 0]
    assert pixels.tolist() == [0, 64, 128, 255, 255]
    clear = Image.fromarray(np.stack([levels, np.full_like(levels, 0)], axis=-1), "LA")
    clear.save(tmp_path / "clear.png")
    picture = read(tmp_path / "clear.png", Form(white_level=4, background=100))
    assert np.all(picture.pixels == 100) and picture.is_transparent


@pytest.mark.parametrize(
    ("samples", "tags", "reason"),
    [
        (np.zeros((8, 8, 13), np.uint8), {}, "13 bands of 8-bit unsigned numbers; save it"),
        (np.zeros((8, 8, 5), np.uint8), {}, "5 bands of 8-bit"),
        (np.zeros((8, 8), np.float16), {}, "1 band of 16-bit float numbers"),
        (np.zeros((8, 8), np.float64), {}, "1 band of 64-bit float numbers"),
        (np.zeros((8, 8), np.uint64), {}, "1 band of 64-bit unsigned numbers"),
        (np.zeros((8, 8, 3), np.float32), {}, "3 bands of 32-bit float numbers"),
        (np.zeros((8, 8), np.complex64), {}, "1 band of 64-bit complex numbers"),
        # These Pillow would read, and wrongly.
        (np.zeros((8, 8, 3), np.uint16), {"are_planes": True}, "numbers, one after the other"),
        (np.zeros((8, 8), np.int8), {}, "1 band of 8-bit signed numbers"),
        (np.zeros((8, 8, 2), np.uint8), {}, "2 bands of 8-bit unsigned numbers"),
        (np.full((8, 8), -3, np.int16), {}, "levels from -3 to -3; black must be 0"),
        (np.full((8, 8), 70000, np.int32), {}, "not 16 bits; --white_level=auto takes them"),
        (np.full((8, 8), 255, np.float32), {}, r"not floats in \[0, 1\]; --white_level=auto"),
    ],
)
def test_odd_tiffs_say_what_they_are_and_nothing_else_is_said(
    tmp_path, samples, tags, reason, capfd, caplog
):
    path = save_tiff(tmp_path / "a.tif", samples, **tags)
    with without_warnings(), pytest.raises(BadPictureError, match=reason):
        read_picture(path, Form())
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(np.eye(8) > 0).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", Form())[..., 0], np.eye(8) * 255)


def test_cmyk_is_ink_on_paper(tmp_path):
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[:4, :, 0] = 255  # cyan, which keeps red back
    Image.fromarray(ink, "CMYK").save(tmp_path / "a.tif")
    pixels = read_picture(tmp_path / "a.tif", Form())
    assert pixels[0, 0].tolist() == [0, 255, 255] and pixels[7, 7].tolist() == [255, 255, 255]


@pytest.mark.parametrize("background", [0, 100, 255])
@pytest.mark.parametrize("kind", ["RGBA", "LA", "PA", "P", "RGB"])
def test_transparency_is_over_the_background(tmp_path, kind, background):
    """Three parts: nothing, half (where the kind has it), and the colour itself."""
    path = tmp_path / "a.png"
    colour, alphas = (200, 200, 200), [0, 128, 255]
    if kind in ("RGBA", "LA"):
        levels = np.full((8, 9, 4), 200, np.uint8)
        levels[..., 3] = np.repeat(alphas, 3)
        Image.fromarray(levels).convert(kind).save(path)
    else:
        alphas = [0, 255, 255]
        picture = Image.new("RGB", (9, 8), colour)
        picture.paste((1, 2, 3), (0, 0, 3, 8))
        if kind == "RGB":
            picture.save(path, transparency=(1, 2, 3))
        else:
            picture = picture.convert("P", palette=Image.Palette.ADAPTIVE)
            picture.save(path, transparency=picture.getpixel((0, 0)))
    row = read_picture(path, Form(background=background))[0, ::3, 0].astype(int)
    wanted = [(200 * alpha + background * (255 - alpha)) / 255 for alpha in alphas]
    np.testing.assert_allclose(row, wanted, atol=1)


def test_transparent_level_of_16_bits_is_the_background(tmp_path):
    levels = np.full((8, 8), 30000, np.uint16)
    levels[0] = 500
    Image.fromarray(levels).save(tmp_path / "a.png", transparency=500)
    pixels = read_picture(tmp_path / "a.png", Form(background=255))[..., 0]
    assert set(pixels[0]) == {255} and set(pixels[1]) == {117}


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
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path, suffix, orientation):
    """What was seen: bright at the top, brighter at the left; the file has it as the camera lay."""
    seen = np.full((24, 16), 10, np.uint8)
    seen[:8], seen[:8, :8] = 120, 250
    undo = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.ascontiguousarray(undo(seen))).save(path, exif=exif, **options)
    pixels = read_picture(path, Form())[..., 0].astype(int)
    np.testing.assert_allclose(pixels, seen, atol=12)
    assert read_size(path) == (24, 16)


@pytest.mark.filterwarnings("ignore")
def test_damaged_notes_of_a_camera_do_no_harm(tmp_path):
    save(tmp_path / "a.jpg", _photograph(16, 16), exif=b"Exif\0\0II*\0\xff\xff\xff\xff nonsense")
    assert read_picture(tmp_path / "a.jpg", Form()).shape == (16, 16, 3)


# Channels


def test_colours_that_are_all_grey_are_one_channel_if_that_is_open(tmp_path):
    grey = np.repeat(pixels_of(1), 3, axis=-1)
    save(tmp_path / "a.png", grey)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", Form()), grey[..., :1])
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", Form(channels=3)), grey)
    grey[3, 3, 2] ^= 1  # one pixel is not quite grey
    save(tmp_path / "b.png", grey)
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png", Form()), grey)


def test_one_channel_is_how_bright_colours_are(tmp_path):
    save(tmp_path / "a.png", np.full((8, 8, 3), [255, 0, 0], np.uint8))
    assert set(read_picture(tmp_path / "a.png", Form(channels=1)).ravel()) == {76}  # 0.299 * 255


# Sizes


def test_crop_takes_the_middle(tmp_path):
    wide = np.zeros((20, 60, 1), np.uint8)
    wide[:, 20:40] = 200
    save(tmp_path / "a.png", wide)
    pixels = read_picture(tmp_path / "a.png", Form((10, 10)))[..., 0].astype(int)
    np.testing.assert_allclose(pixels, 200, atol=12)  # a little comes from beyond the edge
    assert np.all(pixels[:, 3:-3] == 200)


def test_pad_keeps_all_with_margins(tmp_path):
    save(tmp_path / "a.png", np.full((20, 60, 1), 200, np.uint8))
    pixels = read_picture(tmp_path / "a.png", Form((12, 12), "pad", background=7))[..., 0]
    assert np.all(pixels[:4] == 7) and np.all(pixels[4:8] == 200) and np.all(pixels[8:] == 7)


def test_stretch_keeps_all_without_margins(tmp_path):
    halves = np.repeat([0, 255], 40).astype(np.uint8)
    save(tmp_path / "a.png", np.tile(halves[:, np.newaxis], (4, 1, 1)))
    pixels = read_picture(tmp_path / "a.png", Form((16, 8), "stretch"))[..., 0]
    np.testing.assert_allclose(pixels[:, :3], 0, atol=2)
    np.testing.assert_allclose(pixels[:, 5:], 255, atol=2)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (3, 300), (300, 3), (64, 64), (1, 2000)])
def test_any_size_becomes_the_size_asked_for(tmp_path, fit, size):
    save(tmp_path / "a.png", pixels_of(0, *size, 3))
    assert read_picture(tmp_path / "a.png", Form((24, 16), fit)).shape == (24, 16, 3)
    assert read_size(tmp_path / "a.png") == size


def test_shrinking_is_antialiased(tmp_path):
    """Lines that are finer than a pixel of the result become grey; nearest ones would be lines."""
    fine = np.zeros((512, 512, 1), np.uint8)
    fine[:, ::2] = 255
    save(tmp_path / "a.png", fine)
    pixels = read_picture(tmp_path / "a.png", Form((16, 16)))
    assert pixels.min() >= 120 and pixels.max() <= 136


def test_large_jpeg_looks_as_if_it_had_been_decoded_in_full(tmp_path):
    waves = 128 + 100 * np.sin(np.arange(1200) * 2 * np.pi / 20)  # of 2.8 pixels of the result
    pixels = np.tile(np.rint(waves).astype(np.uint8)[np.newaxis, :, np.newaxis], (900, 1, 1))
    save(tmp_path / "a.jpg", pixels, quality=95)
    save(tmp_path / "a.png", pixels)
    small, wanted = (
        read_picture(tmp_path / name, Form((128, 128)))[:, 8:-8].astype(int)
        for name in ("a.jpg", "a.png")
    )
    np.testing.assert_allclose(small, wanted, atol=12)


# Bad files


def _reason(path, form=None):
    with pytest.raises(BadPictureError) as caught:
        read_picture(path, form or Form((16, 16)))
    reason = str(caught.value)
    assert 0 < len(reason) < 120 and "\n" not in reason
    return reason


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


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("P is how some formats begin, but this is a text.\n")
    (tmp_path / "empty.png").touch()
    (tmp_path / "program.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    assert _reason(tmp_path / "text.png") == "its content is no picture"
    assert _reason(tmp_path / "empty.png") == "an empty file"
    assert _reason(tmp_path / "program.png") == "its content is no picture"
    assert _reason(tmp_path / "missing.png") == "No such file or directory"


def test_what_is_no_file_is_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")

    def refuse(*arguments):
        raise AssertionError("opened")

    monkeypatch.setattr(os, "open", refuse)
    for path in (tmp_path / "pipe.png", tmp_path, "/dev/zero"):
        assert _reason(path) == "no regular file"
