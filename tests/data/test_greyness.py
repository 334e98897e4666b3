import numpy as np
import pytest

from cvae_tf.data.greyness import look_at


def _images(levels, channels=1, num=10):
    """Images of stripes of some levels, each beginning at another place."""
    row = np.resize(np.array(levels, np.uint8), 8)
    rows = np.stack([np.roll(row, number) for number in range(num)])
    return np.broadcast_to(rows[:, None, :, None], (num, 8, 8, channels)).copy()


@pytest.mark.parametrize(
    ("levels", "channels", "black_and_white", "said"),
    [
        ([0, 255], 1, True, "are black and white or nearly so"),
        (
            [0, 0, 0, 0, 128],
            1,
            True,
            "are black and white or nearly so",
        ),
        ([0, 100, 200], 1, False, "have grey levels"),
        ([0, 255], 3, False, "have colours"),
    ],
)
def test_looks_decide(levels, channels, black_and_white, said):
    looks = look_at(_images(levels, channels))
    assert (looks.are_black_and_white, looks.description) == (black_and_white, said)


def test_greyness_is_0_without_grey_and_1_if_all_is_halfway():
    assert look_at(_images([0, 255])).greyness == 0
    assert look_at(_images([127, 128])).greyness == pytest.approx(1, abs=1e-4)


def test_the_digits_are_black_and_white_enough(digits):
    assert look_at(digits.train.images).are_black_and_white


def test_images_of_the_whole_set_are_looked_at():
    images = np.concatenate([_images([0, 255], num=2000), _images([128], num=2000)])
    assert look_at(images).greyness == pytest.approx(0.5, abs=0.01)
