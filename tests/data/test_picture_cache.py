import concurrent.futures
import json

import numpy as np
import pytest
from folder_helpers import READING, pixels_of, save, save_all

from cvae_tf.core.errors import UserError
from cvae_tf.data import picture_cache
from cvae_tf.data.disk_images import DiskImages
from cvae_tf.data.folder_listing import list_pictures
from cvae_tf.data.picture_cache import read_pictures
from cvae_tf.data.picture_images import PictureImages
from cvae_tf.reading import ReadingSettings

NAMES = [f"{number:02}.png" for number in range(20)]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "cvae-tf"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def saved(root):
    return np.stack(list(save_all(root, NAMES).values()))


@pytest.fixture
def decoded(monkeypatch):
    """How often all pictures were decoded."""
    calls = []
    decode_all = picture_cache.decode_all

    def counted(*arguments):
        calls.append(None)
        return decode_all(*arguments)

    monkeypatch.setattr(picture_cache, "decode_all", counted)
    return calls


def _read(root, reading=READING, disk_mb=None):
    return read_pictures(list_pictures(root), reading, disk_mb)


def _all(pictures):
    return pictures.images(np.arange(pictures.facts.count))


def test_pictures_are_decoded_once(root, saved, decoded, monkeypatch):
    first = _read(root)
    assert isinstance(_all(first), DiskImages) and len(decoded) == 1
    np.testing.assert_array_equal(_all(first)[:], saved)

    def refuse(*arguments, **options):
        raise AssertionError("opened")

    monkeypatch.setattr("PIL.Image.open", refuse)
    second = _read(root)
    assert len(decoded) == 1 and second.facts == first.facts
    np.testing.assert_array_equal(_all(second)[:], saved)


def test_other_settings_and_changed_pictures_are_decoded_anew(root, saved, decoded):
    _read(root)
    _read(root, ReadingSettings(channels=3))
    save(root / "03.png", pixels_of(99))
    np.testing.assert_array_equal(_all(_read(root))[np.array([3])][0], pixels_of(99))
    assert len(decoded) == 3


def test_nothing_is_written_beside_the_pictures(root, saved, home):
    before = sorted(root.parent.rglob("*"))
    _read(root)
    written = set(root.parent.rglob("*")) - set(before)
    assert all(path.is_relative_to(home.parent) for path in written)
    (entry,) = home.iterdir()
    assert sorted(path.name for path in entry.iterdir()) == ["facts.json", "pixels.bin"]
    assert (entry / "pixels.bin").read_bytes() == saved.tobytes()


def test_without_a_set_home_it_is_that_of_keras(root, saved, monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    (tmp_path / "me").mkdir()
    assert _read(root).pixels.is_relative_to(tmp_path / "me" / ".keras" / "cvae-tf")


def test_too_little_room_on_disk(root, saved, decoded, home):
    pictures = _read(root, disk_mb=0)
    images = _all(pictures)
    assert isinstance(images, PictureImages)
    np.testing.assert_array_equal(images[:], saved)
    assert sum(path.stat().st_size for path in home.rglob("pixels.bin")) == 0
    assert _read(root, disk_mb=0).facts == pictures.facts and len(decoded) == 1
    larger = _read(root)  # now there is room
    assert isinstance(_all(larger), DiskImages) and len(decoded) == 2
    assert larger.facts == pictures.facts


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_coloured", [False, True])
def test_pixels_are_the_same_from_disk_and_from_pictures(root, channels, is_coloured):
    save_all(root, NAMES[:9], height=20, width=30, channels=1)
    if is_coloured:
        save_all(root, NAMES[9:], height=30, width=25, channels=3)
    for settings in ({}, {"channels": channels}):
        reading = ReadingSettings(image_size="16", **settings)
        streamed, kept = _all(_read(root, reading, 0))[:], _all(_read(root, reading))[:]
        np.testing.assert_array_equal(streamed, kept)


def test_cache_that_cannot_be_written_is_said_once(root, saved, decoded, home, capsys):
    home.parent.mkdir()
    home.write_text("a file where the folder should be")
    pictures = _read(root)
    np.testing.assert_array_equal(_all(pictures)[:], saved)
    assert isinstance(_all(pictures), PictureImages)
    warned = capsys.readouterr().err
    assert warned.count("warning") == 1 and "cannot be written" in warned


def test_disk_that_becomes_full_is_said_once(root, saved, monkeypatch, capsys, home):
    write_json = picture_cache.files.write_json

    def fail(path, values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(picture_cache.files, "write_json", fail)
    np.testing.assert_array_equal(_all(_read(root))[:], saved)
    assert "No space left on device" in capsys.readouterr().err
    assert not list(home.iterdir())
    monkeypatch.setattr(picture_cache.files, "write_json", write_json)
    assert isinstance(_all(_read(root)), DiskImages)


def _damages(entry):
    facts = json.loads((entry / "facts.json").read_text())
    for changed in (
        {"image_shape": [8, 8]},
        {"image_shape": [8, -8, 1]},
        {"image_shape": None},
        {"count": 19},
        {"bad": [[5, "reason"]]},
        {"sha256": 5},
        {"margins": "bright"},
    ):
        yield "facts.json", json.dumps({**facts, **changed}).encode()
    for content in (b"", b"{", b"[]", b"null", b"\xff", json.dumps(facts).encode()[:-5]):
        yield "facts.json", content
    yield "pixels.bin", b"short"
    yield "pixels.bin", None


def test_damaged_entries_are_made_again(root, saved, decoded, home):
    _read(root)
    (entry,) = home.iterdir()
    for number, (name, content) in enumerate(list(_damages(entry)), 2):
        (entry / name).unlink() if content is None else (entry / name).write_bytes(content)
        np.testing.assert_array_equal(_all(_read(root))[:], saved)
        assert len(decoded) == number, (name, content)


def test_several_at_once_all_succeed(root, saved, home):
    listing = list_pictures(root)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        runs = [pool.submit(read_pictures, listing, READING, None) for _ in range(6)]
        results = [run.result() for run in runs]
    for pictures in results:
        np.testing.assert_array_equal(_all(pictures)[:], saved)
    assert [path.name for path in home.iterdir()] == [results[0].pixels.parent.name]


def test_bad_pictures_are_kept_in_mind_until_they_can_be_read(root, saved, decoded, monkeypatch):
    content = (root / "04.png").read_bytes()
    (root / "04.png").write_bytes(b"")
    pictures = _read(root)
    assert pictures.facts.bad == [(4, "an empty file")]
    np.testing.assert_array_equal(pictures.numbers, [*range(4), *range(5, 20)])
    np.testing.assert_array_equal(_all(pictures)[:], np.delete(saved, 4, axis=0))
    assert _read(root).facts == pictures.facts and len(decoded) == 1
    # As if a disk in a network had failed for a while: the file seems to be the same.
    listing = list_pictures(root)
    (root / "04.png").write_bytes(content)
    assert read_pictures(listing, READING, None).facts.bad == [] and len(decoded) == 2


def test_several_sizes_are_named(root, saved, home):
    for number, height in enumerate([9, 9, 10, 11, 12, 13, 14]):
        save(root / f"odd{number}.png", pixels_of(number, height, 8))
    with pytest.raises(UserError) as caught:
        _read(root)
    text = str(caught.value)
    assert "8x8 (20), 9x8 (2)" in text and "and 2 more" in text and "--image_size=64" in text
    assert "\n" not in text
    assert not list(home.iterdir())
    assert _all(_read(root, ReadingSettings(image_size="16x12"))).shape == (27, 16, 12, 1)


def test_large_pictures_of_one_size_need_another(root, home):
    """As those of a camera are."""
    for number in range(3):
        save(root / f"{number}.png", np.zeros((1025, 40, 1), np.uint8))
    with pytest.raises(UserError, match=r"too large to learn.*1025x40 \(3\). Give --image_size=64"):
        _read(root)
    assert _all(_read(root, ReadingSettings(image_size="64"))).shape == (3, 64, 64, 1)


def test_late_colours_begin_the_file_anew(root):
    save_all(root, [f"{number:03}.png" for number in range(100)])
    save(root / "098.png", pixels_of(1000, channels=3))
    images = _all(_read(root))
    assert images.shape == (100, 8, 8, 3) and isinstance(images, DiskImages)
    np.testing.assert_array_equal(images[98:99][0], pixels_of(1000, channels=3))
    np.testing.assert_array_equal(images[:1][0], np.repeat(pixels_of(0), 3, axis=-1))


def test_what_was_being_written_is_removed_if_it_is_stopped(root, saved, home, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_cache, "decode_all", stop)
    with pytest.raises(KeyboardInterrupt):
        _read(root)
    assert list(home.iterdir()) == []
