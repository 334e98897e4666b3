import os

import numpy as np
import pytest
import tensorflow as tf
from folder_helpers import pixels_of, save, save_tiff
from PIL import Image

from cvae_tf.core.errors import UserError
from cvae_tf.data.pictures import (
    BadPictureError,
    Form,
    ReadingSettings,
    largest_level,
    read,
    without_warnings,
)


def _pixels(path, form=Form()):  # noqa: B008  (which nobody changes)
    return read(path, form).pixels


def _options(suffix):
    return {"lossless": True} if suffix == "webp" else {}


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp", "jp2"])
def test_formats_without_loss_are_read_exactly_whatever_the_suffix(tmp_path, suffix):
    for channels in (1, 3):
        pixels = pixels_of(0, 9, 7, channels) // 64 * 85  # a GIF has but 256 colours
        path = save(tmp_path / f"a.{suffix}", pixels, **_options(suffix))
        path = path.rename(tmp_path / "no_suffix")
        np.testing.assert_array_equal(_pixels(path), pixels)


@pytest.mark.parametrize(("kind", "dtype"), [("png", "u2"), ("tiff", "i2"), ("tiff", "i4")])
def test_bits_that_are_used_of_16_become_all_levels(tmp_path, kind, dtype):
    path = tmp_path / "a.bin"
    levels = np.random.default_rng(0).integers(0, 4096, (9, 12, 1)).astype(dtype)
    levels[0, 0, 0] = 4095
    if kind == "png":  # by another library
        path.write_bytes(tf.io.encode_png(levels).numpy())
    else:
        save_tiff(path, levels)
    assert largest_level(path) == (4095, True)
    forms = {4095: Form(deep_white_level=4095), 2000: Form(white_level=2000), 65535: Form()}
    for white, form in forms.items():
        picture = read(path, form)
        np.testing.assert_array_equal(
            picture.pixels, np.rint(np.minimum(levels * 255.0 / white, 255))
        )
        assert picture.is_deep


@pytest.mark.parametrize(("kind", "bands"), [("png", 2), ("png", 4), ("png", 3), ("tiff", 3)])
def test_of_colours_of_16_bits_the_upper_8_count_and_no_other_white(tmp_path, kind, bands):
    levels = np.random.default_rng(0).integers(0, 65536, (9, 12, bands)).astype("u2")
    if bands in (2, 4):
        levels[..., -1] = 65535  # opaque
    path = tmp_path / "a.bin"
    if kind == "png":
        path.write_bytes(tf.io.encode_png(levels).numpy())
    else:
        save_tiff(path, levels, COMPRESSION=8)
    wanted = levels[..., :-1] if bands in (2, 4) else levels
    np.testing.assert_array_equal(_pixels(path), wanted // 256)
    np.testing.assert_array_equal(_pixels(path, Form(deep_white_level=4095)), wanted // 256)
    with pytest.raises(BadPictureError, match="colours of 16 bits, of which the upper 8 are read"):
        _pixels(path, Form(white_level=4095))


@pytest.mark.parametrize(
    ("dtype", "ink", "bits"), [("u1", 255, None), ("u2", 65535, None), ("u2", 4095, 4095)]
)
def test_tiff_in_which_0_is_white_is_no_negative(tmp_path, dtype, ink, bits):
    drawn = (np.eye(8) * ink).astype(dtype)
    path = save_tiff(tmp_path / "a.tif", drawn, PHOTOMETRIC_INTERPRETATION=0)
    pixels = _pixels(path, Form(deep_white_level=bits))
    np.testing.assert_array_equal(pixels[..., 0], 255 * (1 - np.eye(8)))


@pytest.mark.parametrize(
    ("shape", "dtype", "value", "reason"),
    [
        ((8, 8, 13), "u1", 0, "its content is no picture that can be read"),
        # These Pillow would read, and wrongly.
        ((8, 8, 3), "u2", "planes", "3 bands of 16 bits that Pillow misreads"),
        ((8, 8), "i1", 0, "1 bands of 8 bits that Pillow misreads"),
        ((8, 8), "i2", -3, "levels from -3 to -3, not from 0 to 65535"),
        ((8, 8), "i4", 70000, "to 70000, not from 0 to 65535; --white_level=auto takes larger"),
        ((8, 8), "f4", 255, "not from 0 to 1; --white_level=auto"),
        ((8, 8), "f4", np.nan, "from nan to nan"),
    ],
)
def test_odd_tiffs_say_what_they_are(tmp_path, shape, dtype, value, reason, capfd, caplog):
    are_planes = value == "planes"
    samples = np.full(shape, 0 if are_planes else value, dtype)
    path = save_tiff(tmp_path / "a.tif", samples, are_planes)
    with without_warnings(), pytest.raises(BadPictureError, match=reason):
        _pixels(path)
    assert capfd.readouterr() == ("", "") and not caplog.records  # and Pillow says nothing


@pytest.mark.parametrize("kind", ["RGBA", "LA", "16 bits"])
def test_transparency_is_over_the_background(tmp_path, kind):
    path = tmp_path / "a.png"
    if kind == "16 bits":  # of which one level is transparent
        Image.fromarray(np.uint16([[500, 150 * 257, 200 * 257]])).save(path, transparency=500)
    else:
        colours = np.uint8([[[200, 200, 200, alpha] for alpha in (0, 128, 255)]])
        Image.fromarray(colours).convert(kind).save(path)
    pixels = _pixels(path, Form(background=100))
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
        pixels = _pixels(path)[..., 0].astype(int)
        np.testing.assert_allclose(pixels, seen, atol=12, err_msg=str(orientation))


def test_colours_are_grey_if_all_pixels_are_or_if_asked_for(tmp_path):
    grey = np.repeat(pixels_of(1), 3, axis=-1)
    path = save(tmp_path / "a.png", grey)
    np.testing.assert_array_equal(_pixels(path), grey[..., :1])
    grey[3, 3, 2] ^= 1  # one pixel is not quite grey
    np.testing.assert_array_equal(_pixels(save(path, grey)), grey)
    red = save(path, np.full((8, 8, 3), [255, 0, 0], np.uint8))
    assert np.all(_pixels(red, Form(channels=1)) == round(0.299 * 255))


def test_pictures_are_cut_or_get_margins_or_are_stretched(tmp_path):
    wide = np.zeros((20, 60, 1), np.uint8)
    wide[:, 20:40] = 200
    path = save(tmp_path / "a.png", wide)
    narrow = [0, 0, 200, 200, 0, 0]
    for fit, row in (("crop", [200] * 6), ("pad", narrow), ("stretch", narrow)):
        pixels = _pixels(path, Form((12, 12), fit, background=7))[..., 0].astype(int)
        np.testing.assert_allclose(pixels[6, [0, 2, 5, 6, 9, 11]], row, atol=12)
        assert np.all(pixels[[0, 11]] == 7) == (fit == "pad")
        for size in ((1, 1), (3, 30), (2, 60)):
            odd = save(tmp_path / "odd.png", pixels_of(0, *size, 3))
            assert _pixels(odd, Form((24, 16), fit)).shape == (24, 16, 3)


def _reason(path):
    with pytest.raises(BadPictureError) as caught:
        _pixels(path, Form((16, 16)))
    return str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "its content is no picture that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "its content is no picture"),
        (b"P6 19000 19000 255\n" + bytes(99), "Image size (361000000 pixels) exceeds limit"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused_by_its_beginning(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    assert _reason(tmp_path / "a.png").startswith(reason)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp"])
def test_truncated_files_are_refused_but_damaged_notes_of_a_camera_do_no_harm(tmp_path, suffix):
    notes = {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff nonsense"} if suffix == "jpg" else {}
    path = save(tmp_path / f"a.{suffix}", pixels_of(0, 64, 64, 3), **notes)
    assert _pixels(path).shape == (64, 64, 3)
    os.truncate(path, path.stat().st_size // 2)
    _reason(path)


def test_what_is_no_file_is_not_even_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.delattr(Image, "open")
    for path in (tmp_path / "a.png", tmp_path / "pipe.png", tmp_path, "/dev/zero"):
        assert _reason(path) == "no regular file is there"


def test_sizes_are_height_and_width_and_others_refused_by_name_in_one_line():
    sizes = {None: None, "64": (64, 64), 64: (64, 64), "64x48": (64, 48), "8X256": (8, 256)}
    for text, size in sizes.items():
        assert ReadingSettings(image_size=text).height_and_width == size
    for size in ("7", "1025", "64x48x3", "", "6.4", "٦٤", "a\n"):
        with pytest.raises(UserError, match="^--image_size=.*must be a side such as 64, .*$"):
            ReadingSettings(image_size=size)
    for level in ("0", "nan", "white"):
        with pytest.raises(UserError, match="^--white_level='.*': must be a number above 0"):
            ReadingSettings(white_level=level)
    with pytest.raises(UserError, match="--channels=2: must be 1"):
        ReadingSettings(channels=2)
