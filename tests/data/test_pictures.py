import os
import struct
import zlib

import numpy as np
import pytest
from folder_helpers import pixels_of, save
from PIL import Image

from cvae_tf.data.pictures import BadPictureError, Form, read_picture, read_size


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
    for odd in (levels * 2, levels - 1, levels * np.nan):
        Image.fromarray(odd).save(tmp_path / "b.tif")
        with pytest.raises(BadPictureError, match="levels from"):
            read_picture(tmp_path / "b.tif", Form())


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


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_first_frame_of_an_animation_is_taken(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (255, 128, 0)]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    pixels = read_picture(tmp_path / f"a.{suffix}", Form())
    assert np.all(pixels == [255, 0, 0])


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
