"""Masks that lie beside the pictures which they belong to, such as `images/` and `masks/`."""

import os
from collections import Counter

import numpy as np

from cvae_tf.core.messages import warn
from cvae_tf.data.folder_layout import Tree, join, tree_of
from cvae_tf.data.folder_listing import Listing, listed, printable
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
    stems = [
        folder and (folder.rpartition(b"/")[0], *_stem(path))
        for folder, path in zip(folders, listing.paths, strict=True)
    ]
    known = {stem for folder, stem in zip(folders, stems, strict=True) if folder in images}
    counts = Counter(folder for folder in folders if folder in masks)
    paired = Counter(
        folder
        for folder, stem in zip(folders, stems, strict=True)
        if folder in masks and stem in known
    )
    is_certain = len({folder.rpartition(b"/")[0] for folder in masks}) > 1
    left_out = {each for each in masks if is_certain or paired[each] >= _ENOUGH * counts[each]}
    if not left_out:
        return listing
    first = sorted(left_out)
    where = printable(listing.root / os.fsdecode(first[0]))
    warn(
        f"{listed(first)} hold masks of the pictures beside them, {sum(counts[f] for f in first):,}"
        f" files, and are left out. To learn from masks, give --data_path={where}."
    )
    rows = np.flatnonzero([folder not in left_out for folder in folders])
    paths = [listing.paths[row] for row in rows]
    return listing._replace(paths=paths, facts=listing.facts[rows])


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
