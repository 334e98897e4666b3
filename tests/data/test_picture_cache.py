import concurrent.futures
import hashlib
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


def test_pictures_are_decoded_once_for_the_same_settings_and_files(
    root, saved, decoded, home, monkeypatch
):
    first = _read(root)
    assert isinstance(_all(first), DiskImages) and len(decoded) == 1
    with monkeypatch.context() as patch:
        patch.delattr("PIL.Image.open")
        second = _read(root)
    assert len(decoded) == 1 and second.facts == first.facts
    for pictures in (first, second):
        np.testing.assert_array_equal(_all(pictures)[:], saved)
    (entry,) = home.iterdir()
    assert sorted(path.name for path in entry.iterdir()) == ["facts.json", "pixels.bin"]
    assert (entry / "pixels.bin").read_bytes() == saved.tobytes()
    assert sorted(path.name for path in root.iterdir()) == NAMES  # nothing beside the pictures
    _read(root, ReadingSettings(channels=3))
    save(root / "03.png", pixels_of(99))
    np.testing.assert_array_equal(_all(_read(root))[np.array([3])][0], pixels_of(99))
    assert len(decoded) == 3


def test_without_a_set_home_it_is_that_of_keras(root, saved, monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _read(root).pixels.is_relative_to(tmp_path / ".keras" / "cvae-tf")


def test_too_little_room_on_disk(root, saved, decoded, home):
    pictures = _read(root, disk_mb=0)
    assert isinstance(_all(pictures), PictureImages)
    np.testing.assert_array_equal(_all(pictures)[:], saved)
    assert sum(path.stat().st_size for path in home.rglob("pixels.bin")) == 0
    assert _read(root, disk_mb=0).facts == pictures.facts and len(decoded) == 1
    larger = _read(root)  # now there is room
    assert isinstance(_all(larger), DiskImages) and len(decoded) == 2
    assert larger.facts == pictures.facts


@pytest.mark.parametrize("is_coloured", [False, True])
def test_pixels_are_the_same_from_disk_and_from_pictures(root, is_coloured):
    save_all(root, NAMES[:9], height=20, width=30, channels=1)
    if is_coloured:
        save_all(root, NAMES[9:], height=30, width=25, channels=3)
    for channels in (0, 1, 3):
        reading = ReadingSettings(image_size="16", channels=channels)
        streamed, kept = _all(_read(root, reading, 0))[:], _all(_read(root, reading))[:]
        np.testing.assert_array_equal(streamed, kept)


@pytest.mark.parametrize("fault", ["a file where the folder should be", "no room"])
def test_cache_that_cannot_be_written_is_said_once_and_left_out(
    root, saved, home, fault, capsys, monkeypatch
):
    def fail(path, values):
        raise OSError(28, "No space left on device")

    if fault == "no room":
        monkeypatch.setattr(picture_cache.files, "write_json", fail)
    else:
        home.parent.mkdir()
        home.write_text(fault)
    pictures = _read(root)
    assert isinstance(_all(pictures), PictureImages)
    np.testing.assert_array_equal(_all(pictures)[:], saved)
    warned = capsys.readouterr().err
    assert warned.count("warning") == 1 and "The pictures are decoded each time" in warned
    assert fault != "no room" or ("No space left" in warned and not list(home.iterdir()))


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
    for content in (b"", b"[]", b"\xff", json.dumps(facts).encode()[:-5]):
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


def test_bad_pictures_are_kept_in_mind_until_they_can_be_read(root, saved, decoded):
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


def test_several_sizes_and_large_pictures_need_a_size(root, saved, home):
    for number, height in enumerate([9, 9, 10, 11, 12, 13, 14]):
        save(root / f"odd{number}.png", pixels_of(number, height, 8))
    text = r".*8x8 \(20\), 9x8 \(2\).* and 2 more\. Give --image_size=64"
    with pytest.raises(UserError, match=text) as caught:
        _read(root)
    assert "\n" not in str(caught.value) and not list(home.iterdir())
    assert _all(_read(root, ReadingSettings(image_size="16x12"))).shape == (27, 16, 12, 1)
    for number in range(3):
        save(root / "large" / f"{number}.png", np.zeros((1025, 40, 1), np.uint8))
    with pytest.raises(UserError, match=r"too large to learn.*1025x40 \(3\). Give --image_size=64"):
        _read(root / "large")


def test_one_colour_picture_late_makes_all_colours(root):
    """It is not among those that are looked at first, so the file begins anew."""
    save_all(root, [f"{number:03}.png" for number in range(100)])
    save(root / "098.png", pixels_of(1000, channels=3))
    pictures = _read(root)
    images = _all(pictures)
    assert images.shape == (100, 8, 8, 3) and isinstance(images, DiskImages)
    np.testing.assert_array_equal(images[98:99][0], pixels_of(1000, channels=3))
    np.testing.assert_array_equal(images[:1][0], np.repeat(pixels_of(0), 3, axis=-1))
    assert pictures.facts.sha256 == hashlib.sha256(images[:].tobytes()).hexdigest()


def test_what_was_being_written_is_removed_if_it_is_stopped(root, saved, home, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_cache, "decode_all", stop)
    with pytest.raises(KeyboardInterrupt):
        _read(root)
    assert list(home.iterdir()) == []
