"""Pairs of images and cells, compared with plain sums."""

import numpy as np

from cvae_tf.evaluation import pairs
from cvae_tf.evaluation.pairs import Pairs


def _pairs(cells):
    random = np.random.default_rng(len(cells))
    log_mass = random.normal(size=len(cells)) - 1000
    return Pairs(random.integers(3, size=len(cells)), np.array(cells), *[log_mass] * 3)


def test_masses_are_added_up_for_each_image_beside_the_rest():
    few = _pairs([4, 1, 7, 7, 2, 9])
    rest = np.array([-1001.0, -np.inf, -999.0])
    found = pairs.add_up(few.image, few.log_mass, rest)
    for image in range(3):
        own = np.append(few.log_mass[few.image == image], rest[image])
        np.testing.assert_allclose(found[image], np.log(np.exp(own + 1000).sum()) - 1000)


def test_joined_pairs_are_sorted_by_cell_and_stay_together():
    first, second = _pairs([5, 3, 8]), _pairs([4, 3])
    together = pairs.joined([first, second])
    np.testing.assert_array_equal(together.cell, [3, 3, 4, 5, 8])
    expected = {*zip(*first, strict=True), *zip(*second, strict=True)}
    assert {*zip(*together, strict=True)} == expected


def test_blocks_cover_all_numbers_once():
    assert [block.tolist() for block in pairs.blocks(5, 2)] == [[0, 1], [2, 3], [4]]
    assert [block.tolist() for block in pairs.blocks(2, 0)] == [[0], [1]]
