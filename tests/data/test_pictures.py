import os

import numpy as np
import pytest
import tensorflow as tf
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


def _options(suffix):
    return {"lossless": True} if suffix == "webp" else {}


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp", "jp2"])
def test_formats_without_loss_are_read_exactly_whatever_the_suffix(tmp_path, suffix):
    for channels in (1, 3):
        pixels = pixels_of(0, 9, 7, channels) // 64 * 85  # a GIF has but 256 colours
        path = save(tmp_path / f"a.{suffix}", pixels, **_options(suffix))
        path = path.rename(tmp_path / "no_suffix")
        np.testing.assert_array_equal(read_picture(path, Form()), pixels)


@pytest.mark.parametrize(
    ("kind", "dtype", "bands"),
    [
        ("png", "u2", 1),
        ("png", "u2", 2),
        ("png", "u2", 4),
        ("tiff", "i2", 1),
        ("tiff", "i4", 1),
        ("tiff", "u2", 3),
        ("deflated", "u2", 3),
    ],
)
def test_bits_that_are_used_of_16_become_all_levels(tmp_path, kind, dtype, bands):
    path = tmp_path / "a.bin"
    levels = np.random.default_rng(0).integers(0, 4096, (9, 12, bands)).astype(dtype)
    levels[0, 0, 0] = 4095
    if bands in (2, 4):
        levels[..., -1] = 65535  # opaque
    if kind == "png":  # by another library
        path.write_bytes(tf.io.encode_png(levels).numpy())
    else:
        save_tiff(path, levels, COMPRESSION=8 if kind == "deflated" else 1)
    levels = levels[..., :-1] if bands in (2, 4) else levels
    assert largest_level(path) == (4095, True)
    forms = {4095: Form(deep_white_level=4095), 2000: Form(white_level=2000), 65535: Form()}
    for white, form in forms.items():
        picture = read(path, form)
        wanted = np.rint(np.minimum(levels * 255.0 / white, 255))
        np.testing.assert_array_equal(picture.pixels, wanted)
        assert picture.is_deep


@pytest.mark.parametrize(
    ("dtype", "ink", "bits"), [("u1", 255, None), ("u2", 65535, None), ("u2", 4095, 4095)]
)
def test_tiff_in_which_0_is_white_is_no_negative(tmp_path, dtype, ink, bits):
    drawn = (np.eye(8) * ink).astype(dtype)
    path = save_tiff(tmp_path / "a.tif", drawn, PHOTOMETRIC_INTERPRETATION=0)
    pixels = read_picture(path, Form(deep_white_level=bits))
    np.testing.assert_array_equal(pixels[..., 0], 255 * (1 - np.eye(8)))


def test_floats_and_ink_become_8_bits(tmp_path):
    def pixels_of_saved(picture):
        picture.save(tmp_path / "a.tif")
        return read_picture(tmp_path / "a.tif", Form())

    levels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    floats = pixels_of_saved(Image.fromarray(levels))
    np.testing.assert_allclose(floats[..., 0], levels * 255, atol=0.51)
    cyan, paper = [255, 0, 0, 0], [0, 0, 0, 0]
    ink = pixels_of_saved(Image.fromarray(np.uint8([[cyan], [paper]]), "CMYK"))
    assert ink[:, 0].tolist() == [[0, 255, 255], [255, 255, 255]]


@pytest.mark.parametrize(
    ("shape", "dtype", "value", "reason"),
    [
        ((8, 8, 13), "u1", 0, "13 bands of 8-bit unsigned numbers; save it"),
        ((8, 8), "f2", 0, "1 band of 16-bit float numbers"),
        # These Pillow would read, and wrongly.
        ((8, 8, 3), "u2", "planes", "numbers, one after the other"),
        ((8, 8), "i1", 0, "1 band of 8-bit signed numbers"),
        ((8, 8, 2), "u1", 0, "2 bands of 8-bit unsigned numbers"),
        ((8, 8), "i2", -3, "levels from -3 to -3; black must be 0"),
        ((8, 8), "i4", 70000, "not 16 bits; --white_level=auto takes them"),
        ((8, 8), "f4", 255, r"not floats in \[0, 1\]; --white_level=auto"),
        ((8, 8), "f4", np.nan, "no finite numbers"),
    ],
)
def test_odd_tiffs_say_what_they_are(tmp_path, shape, dtype, value, reason, capfd, caplog):
    are_planes = value == "planes"
    samples = np.full(shape, 0 if are_planes else value, dtype)
    path = save_tiff(tmp_path / "a.tif", samples, are_planes)
    with without_warnings(), pytest.raises(BadPictureError, match=reason):
        read_picture(path, Form())
    assert capfd.readouterr() == ("", "") and not caplog.records  # and Pillow says nothing


def test_white_level_scales_8_bits_but_not_the_background(tmp_path):
    levels = np.array([[[0], [1], [2], [4], [9]]] * 5, np.uint8)
    pixels = read_picture(save(tmp_path / "mask.png", levels), Form(white_level=4))
    assert pixels[0, :, 0].tolist() == [0, 64, 128, 255, 255]
    clear = save(tmp_path / "clear.png", np.concatenate([levels, 0 * levels], axis=-1))
    assert np.all(read_picture(clear, Form(white_level=4, background=100)) == 100)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "16 bits"])
def test_transparency_is_over_the_background(tmp_path, kind):
    path = tmp_path / "a.png"
    if kind == "16 bits":  # of which one level is transparent
        Image.fromarray(np.uint16([[500, 150 * 257, 200 * 257]])).save(path, transparency=500)
    else:
        colours = np.uint8([[[200, 200, 200, alpha] for alpha in (0, 128, 255)]])
        Image.fromarray(colours).convert(kind).save(path)
    pixels = read_picture(path, Form(background=100))
    np.testing.assert_allclose(pixels[0, :, 0], [100, 150, 200], atol=1)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_pages_are_counted_and_read_one_by_one(tmp_path, suffix):
    path, options = tmp_path / f"a.{suffix}", _options(suffix)
    frames = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (255, 128, 0)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    for page, level in enumerate((255, 128, 0)):
        picture = read(path, Form(channels=3), page)
        assert np.all(picture.pixels == [level, 0, 0]) and picture.num_pages == 3
    frames[0].save(path, **options)
    assert read(path, Form()).num_pages == 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_pictures_stand_upright(tmp_path, suffix):
    """What was seen: bright at the top, brighter at the left; the file has it as the camera lay."""
    seen = np.full((24, 16), 10, np.uint8)
    seen[:8], seen[:8, :8] = 120, 250
    as_it_lay = [seen, np.fliplr(seen), np.rot90(seen, 2), np.flipud(seen), seen.T,
                 np.rot90(seen), np.rot90(seen, 2).T, np.rot90(seen, -1)]  # fmt: skip
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    for orientation, lying in enumerate(as_it_lay, 1):
        exif[274] = orientation
        save(path, np.ascontiguousarray(lying)[..., np.newaxis], exif=exif)
        pixels = read_picture(path, Form())[..., 0].astype(int)
        np.testing.assert_allclose(pixels, seen, atol=12, err_msg=str(orientation))
        assert read_size(path) == (24, 16)


def test_colours_are_grey_if_all_pixels_are_or_if_asked_for(tmp_path):
    grey = np.repeat(pixels_of(1), 3, axis=-1)
    path = save(tmp_path / "a.png", grey)
    np.testing.assert_array_equal(read_picture(path, Form()), grey[..., :1])
    grey[3, 3, 2] ^= 1  # one pixel is not quite grey
    np.testing.assert_array_equal(read_picture(save(path, grey), Form()), grey)
    red = save(path, np.full((8, 8, 3), [255, 0, 0], np.uint8))
    assert np.all(read_picture(red, Form(channels=1)) == round(0.299 * 255))


def test_pictures_are_cut_or_get_margins_or_are_stretched(tmp_path):
    wide = np.zeros((20, 60, 1), np.uint8)
    wide[:, 20:40] = 200
    path = save(tmp_path / "a.png", wide)
    narrow = [0, 0, 200, 200, 0, 0]
    for fit, row in (("crop", [200] * 6), ("pad", narrow), ("stretch", narrow)):
        pixels = read_picture(path, Form((12, 12), fit, background=7))[..., 0].astype(int)
        np.testing.assert_allclose(pixels[6, [0, 2, 5, 6, 9, 11]], row, atol=12)
        assert np.all(pixels[[0, 11]] == 7) == (fit == "pad")
        for size in ((1, 1), (3, 300), (1, 2000)):
            odd = save(tmp_path / "odd.png", pixels_of(0, *size, 3))
            assert read_picture(odd, Form((24, 16), fit)).shape == (24, 16, 3)


def _reason(path):
    with pytest.raises(BadPictureError) as caught:
        read_picture(path, Form((16, 16)))
    return str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "its content is no picture"),
        (b"P6 12000 12000 255\n" + bytes(99), "12000 x 12000 pixels, not 1 to 100,000,000 in all"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused_by_its_beginning(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    assert _reason(tmp_path / "a.png") == reason


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp"])
def test_truncated_files_are_refused_but_damaged_notes_of_a_camera_do_no_harm(tmp_path, suffix):
    notes = {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff nonsense"} if suffix == "jpg" else {}
    path = save(tmp_path / f"a.{suffix}", pixels_of(0, 64, 64, 3), **notes)
    assert read_picture(path, Form()).shape == (64, 64, 3)
    os.truncate(path, path.stat().st_size // 2)
    _reason(path)


def test_what_is_no_file_is_not_even_opened(tmp_path, monkeypatch):
    assert _reason(tmp_path / "a.png") == "No such file or directory"
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.delattr(os, "open")
    for path in (tmp_path / "pipe.png", tmp_path, "/dev/zero"):
        assert _reason(path) == "no regular file"
