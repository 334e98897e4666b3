"""Masks that lie beside the pictures which they belong to, such as `images/` and `masks/`."""

import os
from collections import Counter

import numpy as np

from cvae_tf.core.messages import warn
from cvae_tf.core.paths import listed, printable
from cvae_tf.data.folder_layout import Tree, join, tree_of
from cvae_tf.data.folder_listing import Listing
from cvae_tf.data.folder_names import is_of_images, is_of_masks, without_kind

_ENOUGH = 0.5  # of the masks of a folder must have the name of a picture


def without_masks(listing: Listing) -> Listing:
    """Leaves out masks, and says so.

    They are in a folder such as `masks` or `labels`, beside one such as `images` or `train` with
    files of the same names, but for words such as "mask"; or there are several such pairs.
    """
    images, masks = _folders_beside(tree_of(listing.paths))
    if not masks:
        return listing
    folders = [_folder_among(images | masks, path) for path in listing.paths]
    left_out = masks
    if len({folder.rpartition(b"/")[0] for folder in masks}) == 1:
        left_out = _with_names_of_pictures(listing.paths, folders, images, masks)
    rows = np.flatnonzero([folder not in left_out for folder in folders])
    if left_out:
        first, count = sorted(left_out), len(folders) - len(rows)
        where = printable(listing.root / os.fsdecode(first[0]))
        warn(
            f"{count:,} files in {listed(first)} are masks of the pictures beside them, and are "
            f"left out. To learn from masks, give --data_path={where}."
        )
    return listing._replace(paths=[listing.paths[row] for row in rows], facts=listing.facts[rows])


def _with_names_of_pictures(
    paths: list[bytes], folders: list[bytes | None], images: set[bytes], masks: set[bytes]
) -> set[bytes]:
    """The folders of masks whose files, or half of them, have the names of pictures.

    Args:
        paths: of N files.
        folders: the one of `images` or `masks` that each is in; None for another.
        images: folders beside those of masks.
        masks: folders.
    """
    known = {_stem(path) for path, folder in zip(paths, folders, strict=True) if folder in images}
    counts, paired = Counter(), Counter()
    for path, folder in zip(paths, folders, strict=True):
        if folder in masks:
            counts[folder] += 1
            paired[folder] += _stem(path) in known
    return {folder for folder in masks if paired[folder] >= _ENOUGH * counts[folder]}


def _folders_beside(tree: Tree) -> tuple[set[bytes], set[bytes]]:
    """The folders of pictures and of masks that lie side by side, by their names."""
    images, masks = set(), set()
    for parent, names in tree.below.items():
        of_masks = [join(parent, name) for name in names if is_of_masks(name)]
        of_images = [join(parent, name) for name in names if of_masks and is_of_images(name)]
        if of_images:
            images.update(of_images)
            masks.update(of_masks)
    return images, masks


def _folder_among(folders: set[bytes], path: bytes) -> bytes | None:
    """The nearest of some folders that a file lies in."""
    while path:
        path = path.rpartition(b"/")[0]
        if path in folders:
            return path
    return None


def _stem(path: bytes) -> tuple[str, ...]:
    name = path.rpartition(b"/")[2]
    return without_kind(name.rpartition(b".")[0] or name)
