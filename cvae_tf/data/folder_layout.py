"""Where in a folder the splits, the classes and masks are, by the names of folders and files alone.

Masks may lie beside the pictures which they belong to, such as `images/` and `masks/`.
"""

import os
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from cvae_tf.core.paths import listed, printable
from cvae_tf.core.terminal import warn
from cvae_tf.data.folder_listing import Listing
from cvae_tf.data.folder_names import (
    LEFT_OUT,
    TEST,
    TRAIN,
    find_splits,
    find_splits_alike,
    is_of_images,
    is_of_masks,
    without_kind,
)
from cvae_tf.data.labels import composed

_ENOUGH = 0.5  # of the masks of a folder must have the name of a picture


class Tree(NamedTuple):
    """The folders that pictures are in."""

    direct: set[bytes]  # those that hold pictures themselves
    below: dict[bytes, set[bytes]]  # by folder, the names of those in it that hold pictures


class Layout(NamedTuple):
    """Which folders are splits and which are classes."""

    base: bytes  # the folder in which all of them are
    roots: dict[bytes, int]  # the folders of the classes, and what they are for
    inner: dict[bytes, int]  # what folders within each class are for, if the splits are there
    how: str | None  # says to people which folders are the splits

    def place(self, folder: bytes) -> tuple[int, bytes | None]:
        """What the pictures in a folder are for, and the name of their class."""
        root, name = folder, b""
        while root not in self.roots:
            if not root:
                return LEFT_OUT, None
            root, _, name = root.rpartition(b"/")
        side = self.roots[root]
        if self.inner:
            within = folder[len(join(root, name)) + 1 :].partition(b"/")[0]
            side = self.inner.get(within, LEFT_OUT)
        return side, normalized(name) if name and side != LEFT_OUT else None


def tree_of(paths: Iterable[bytes]) -> Tree:
    """Collects the folders of pictures."""
    direct = {path.rpartition(b"/")[0] for path in paths}
    below: dict[bytes, set[bytes]] = {}
    for folder in direct:
        parent, name = folder, b""
        while parent:
            parent, _, name = parent.rpartition(b"/")
            names = below.setdefault(parent, set())
            if name in names:
                break
            names.add(name)
    return Tree(direct, below)


def join(folder: bytes, name: bytes) -> bytes:
    """The path of what is in a folder; the root is the empty path."""
    return b"/".join(part for part in (folder, name) if part)


def normalized(name: bytes) -> bytes:
    """The name of a folder as that of a class, the same on all systems."""
    return os.fsencode(composed(os.fsdecode(name)))


def find_layout(tree: Tree) -> Layout:
    """Finds the splits, if the names of folders say so, and the classes.

    A folder that holds nothing but another one is gone through. The splits are side by side, with
    the classes in them, or the other way round.
    """
    base = _only_way_down(tree)
    names = tree.below.get(base, set())
    split_of = find_splits(names, False) or find_splits_alike(folders_alike(tree, base))
    if split_of:
        roots = {join(base, name): side for name, side in split_of.items()}
        return Layout(base, _class_roots(tree, roots), {}, _describe(roots))
    inner = _inner_splits(tree, base)
    how = _describe({join(base, b"*/" + name): side for name, side in inner.items()})
    return Layout(base, {base: TRAIN}, inner, how)


def folders_alike(tree: Tree, base: bytes) -> dict[bytes, set[bytes]]:
    """The folders side by side that hold folders of the same names, and these names."""
    within = _folders_within(tree, base)
    held = Counter(inner for names in within.values() for inner in names)
    same = {top: {name for name in names if held[name] > 1} for top, names in within.items()}
    return {top: same[top] for top in same if len(same[top]) >= max(2, len(within[top]) / 2)}


def folders_again(tree: Tree, base: bytes) -> dict[bytes, set[bytes]]:
    """The folders that hold two or more of the same names as are beside them, and these names."""
    again = {
        name: (inner & tree.below[base]) - {name}
        for name, inner in _folders_within(tree, base).items()
    }
    return {name: names for name, names in again.items() if len(names) > 1}


def _folders_within(tree: Tree, base: bytes) -> dict[bytes, set[bytes]]:
    """The names of the folders in each folder."""
    return {
        name: tree.below.get(_only_way_down(tree, join(base, name)), set())
        for name in tree.below.get(base, ())
    }


def _only_way_down(tree: Tree, base: bytes = b"") -> bytes:
    """The folder that all are in; one that holds pictures and no folders is a class."""
    while child := _lone_child(tree, base):
        if child in tree.direct and len(tree.below.get(child, ())) < 2:
            break
        base = child
    return base


def _lone_child(tree: Tree, folder: bytes) -> bytes | None:
    """The one folder in a folder which holds no pictures itself."""
    names = tree.below.get(folder, set())
    return join(folder, *names) if len(names) == 1 and folder not in tree.direct else None


def _inner_splits(tree: Tree, base: bytes) -> dict[bytes, int]:
    """The splits within classes, if nothing else is there; `fold1` and `fold2` are no classes."""
    names = tree.below.get(base, set())
    classes = {join(base, name) for name in names}
    if base in tree.direct or classes & tree.direct or all(map(is_of_images, names)):
        return {}
    within = set().union(*(tree.below[folder] for folder in classes))
    found = find_splits(within, is_strict=True)
    return found if TEST in found.values() else {}


def _class_roots(tree: Tree, roots: dict[bytes, int]) -> dict[bytes, int]:
    """Goes down to the classes where a split holds one folder alone that is none."""
    children = {root: _lone_child(tree, root) for root in roots}
    if all(children.values()):
        names = {child.rpartition(b"/")[2] for child in children.values()}
        if len(names) == 1 and not tree.direct.intersection(children.values()):
            return _class_roots(tree, {children[root]: side for root, side in roots.items()})
    for root, child in children.items():
        others = [each for each in roots if each != root]
        if child and _is_between(tree, child, others):
            rest = {each: roots[each] for each in others}
            return _class_roots(tree, {child: roots[root], **rest})
    return roots


def _is_between(tree: Tree, child: bytes, others: list[bytes]) -> bool:
    """Whether the one folder of a split is no class, as what is in it or its name says."""
    *_, parent, name = b"", *child.split(b"/")
    beside = set().union(*(tree.below.get(other, set()) for other in others))
    deeper = set().union(
        *(tree.below.get(lone, set()) for other in others if (lone := _lone_child(tree, other)))
    )
    is_deeper = not tree.below.get(child, set()).isdisjoint(beside | deeper)
    return name not in beside and (is_deeper or is_of_images(name) or name == parent)


def _describe(split_of: dict[bytes, int]) -> str | None:
    """Says which folders are for what; None if they are all for the same."""
    if TEST not in split_of.values():
        return None
    parts = [
        f"{listed([name + b'/' for name in sorted(split_of) if split_of[name] == side])} {what}"
        for side, what in ((TRAIN, "for training"), (TEST, "for testing"))
    ]
    return ", ".join(parts)


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
