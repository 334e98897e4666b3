"""What the names of folders say by their words: pictures for training, for testing, or masks."""

import functools
import os
import re
from collections.abc import Collection
from typing import NamedTuple

TRAIN, TEST, LEFT_OUT = 0, 1, -1

# Of several that are there the first is taken.
_TRAINING = ("train", "training", "trn", "tr")
_TESTING = ("test", "testing", "tst", "ts", "te", "holdout")
_VALIDATING = (
    *("val", "valid", "validation", "validate", "vali", "va", "cv"),
    *("eval", "evaluation", "evaluate", "dev", "devel", "development"),
)
_UNUSED = (
    *("pred", "predict", "prediction", "infer", "inference", "submission", "challenge"),
    *("unlabeled", "unlabelled", "unsupervised", "extra"),
)
_MASKS = (
    *("mask", "label", "annotation", "annot", "truth", "groundtruth", "gt", "seg", "segm"),
    *("segmentation", "matte", "trimap", "target"),
)
_NEUTRAL = (
    *("set", "data", "dataset", "image", "img", "im", "picture", "pic", "photo", "photograph"),
    *("sample", "example", "file", "folder", "dir", "split", "subset", "partition", "part", "fold"),
    *("batch", "shard", "input", "original", "orig", "raw", "new", "all", "full", "small", "mini"),
    *("tiny", "final", "clean", "cleaned", "aug", "augmented", "resized", "cropped", "processed"),
    *("preprocessed", "labeled", "labelled", "version", "v", "cross", "ground", "png", "jpg"),
    *("jpeg", "rgb", "the", "my", "for", "of", "only"),
)
_KINDS_OF_MASKS = ("class", "classes", "object", "instance", "semantic", "binary")
_LISTS = (
    "list",
    "attr",
    "attribute",
    "categories",
    "category",
    "name",
    "id",
    "metadata",
    "class",
    "classes",
)
_PLAIN_NAMES = {"train", "test", "val", "valid", "validation"}  # whatever else is beside them
_KEPT = 100_000  # names of folders whose words are remembered
_MOST_COMPARED = 100  # folders of one side with those of the other
_SHORTEST_PART = 3  # letters of a word that is written without a gap to the next one


def _with_plurals(words: Collection[str]) -> dict[str, int]:
    """The places of words, by themselves and by their plurals."""
    places = {f"{word}s": place for place, word in enumerate(words) if len(word) > 2}
    return places | {word: place for place, word in enumerate(words)}


_TRAIN_WORDS = {word: place for place, word in enumerate(_TRAINING)}  # `trains` are vehicles
_TEST_WORDS = _with_plurals(_TESTING + _VALIDATING)
_VALIDATION_WORDS = frozenset(_with_plurals(_VALIDATING))
_UNUSED_WORDS = frozenset(_with_plurals(_UNUSED))
_SPLIT_WORDS = frozenset([*_TRAIN_WORDS, *_TEST_WORDS])
_MASK_WORDS = frozenset(_with_plurals(_MASKS))
_LIST_WORDS = _MASK_WORDS | _SPLIT_WORDS | _with_plurals(_LISTS).keys()
_NEUTRAL_WORDS = frozenset(_with_plurals(_NEUTRAL))
_KNOWN_WORDS = _SPLIT_WORDS | _UNUSED_WORDS | _MASK_WORDS | _NEUTRAL_WORDS
_OF_MASKS = _KNOWN_WORDS | _with_plurals(_KINDS_OF_MASKS).keys()  # all that may be in their names


class Meaning(NamedTuple):
    """What a folder is for, by the words of its name."""

    side: int  # TRAIN, TEST, or LEFT_OUT for what is used for neither
    place: int  # of the word among those of this side
    words: frozenset[str]  # all of them
    numbers: tuple[str, ...]

    @property
    def others(self) -> frozenset[str]:
        """The words that are neither neutral nor those of a split."""
        return self.words - _SPLIT_WORDS - _NEUTRAL_WORDS

    @property
    def longer(self) -> frozenset[str]:
        """The others without single letters, such as those of "a. Training", "b. Testing"."""
        return frozenset(word for word in self.others if len(word) > 1)


@functools.lru_cache(_KEPT)
def words_of(name: str | bytes) -> tuple[str, ...]:
    """Splits a name at signs, digits and changes of case, and between known words.

    Args:
        name: such as "trainSet_2017" or "trainset2017".

    Returns:
        The words in small letters, and the numbers: ("train", "set", "2017").
    """
    found = []
    for run in re.findall(r"\d+|[^\W\d_]+", os.fsdecode(name)):
        found += _known_parts(run.lower()) or _parts_by_case(run)
    text = " ".join(found)
    return tuple(text.replace("hold out", "holdout").replace("held out", "holdout").split())


def _parts_by_case(run: str) -> list[str]:
    """Splits letters where a capital follows small ones, or another alphabet begins."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\WA-Za-z]+", run)
    return [word for part in parts for word in _known_parts(part.lower()) or (part.lower(),)]


@functools.lru_cache(_KEPT)
def _known_parts(word: str) -> tuple[str, ...]:
    """Splits a word into known ones without a gap between; none if something else is in it."""
    if word in _KNOWN_WORDS:
        return (word,)
    for end in range(len(word) - _SHORTEST_PART, _SHORTEST_PART - 1, -1):
        if word[:end] in _KNOWN_WORDS and (rest := _known_parts(word[end:])):
            return (word[:end], *rest)
    return ()


def meaning_of(name: str | bytes) -> Meaning | None:
    """What a folder is for; None if its name does not say it, or says two things."""
    found = words_of(name)
    numbers = tuple(word for word in found if word.isdecimal())
    words = frozenset(found).difference(numbers)
    train, test = words & _TRAIN_WORDS.keys(), words & _TEST_WORDS.keys()
    if train and test:  # `trainval` is for training, after a `train` without more
        is_for_training = test <= _VALIDATION_WORDS
        return Meaning(TRAIN, len(_TRAINING), words, numbers) if is_for_training else None
    if train:
        return Meaning(TRAIN, min(_TRAIN_WORDS[word] for word in train), words, numbers)
    if test:
        return Meaning(TEST, min(_TEST_WORDS[word] for word in test), words, numbers)
    return Meaning(LEFT_OUT, 0, words, numbers) if words & _UNUSED_WORDS else None


def find_splits(names: Collection[bytes], is_strict: bool) -> dict[bytes, int]:
    """Finds the folders for training and for testing among those of one place.

    They are known by words, such as "Training" and "test_set"; words that both sides share, such
    as those of "seg_train" and "seg_test", say nothing.

    Args:
        names: of all folders there that hold pictures.
        is_strict: whether every other folder must be known, too, as one that is left out. It must
            in any case, unless the names are as plain as `train` and `test`.

    Returns:
        TRAIN or TEST by name; none if one of the two is missing, or it is not clear which they
        are. TRAIN alone if all are parts of the same.
    """
    known = _by_other_words(names)
    pairs = {others: pair for others, each in known.items() if (pair := _pair(each))}
    others = _plainest(pairs)
    if others is None:
        train = _first_of(known.get(frozenset(), {}), TRAIN)
        return dict.fromkeys(train, TRAIN) if len(train) == len(names) else {}
    is_plain = all(os.fsdecode(name).lower() in _PLAIN_NAMES for name in pairs[others])
    explained = [each for own, each in known.items() if own <= others | _UNUSED_WORDS | _MASK_WORDS]
    clear = set().union(*explained, filter(is_of_masks, names))
    return pairs[others] if clear.issuperset(names) or (is_plain and not is_strict) else {}


def find_splits_alike(names: Collection[bytes]) -> dict[bytes, int]:
    """As `find_splits`, of folders that hold folders of the same names: two are less alike then."""
    found = find_splits(names, is_strict=False)
    if TEST in found.values():
        return found
    likely = seem_to_be_splits(names)
    is_pair = len(names) == len(likely) == 2
    return {name: meaning_of(name).side for name in likely} if is_pair else {}


def seem_to_be_splits(names: Collection[bytes]) -> list[bytes]:
    """The folders whose names say that they are for training and for testing, if both are there.

    One of them may have more words than another.
    """
    known = [(each, meaning) for each in names if (meaning := meaning_of(each))]
    train, test = (
        [each for each in known if each[1].side == side][:_MOST_COMPARED] for side in (TRAIN, TEST)
    )
    found = {
        name
        for one, first in train
        for other, second in test
        if first.longer <= second.longer or second.longer <= first.longer
        for name in (one, other)
    }
    return sorted(found)


def _by_other_words(names: Collection[bytes]) -> dict[frozenset[str], dict[bytes, Meaning]]:
    """The folders with a meaning, grouped by the words that say nothing of it."""
    groups: dict[frozenset[str], dict[bytes, Meaning]] = {}
    for name in names:
        if meaning := meaning_of(name):
            groups.setdefault(meaning.others, {})[name] = meaning
    return groups


def _pair(known: dict[bytes, Meaning]) -> dict[bytes, int]:
    """The two sides of folders that differ in nothing else; none if a side is missing."""
    train, test = _first_of(known, TRAIN), _first_of(known, TEST)
    if not (train and test) or (_are_several(train, known) and _are_several(test, known)):
        return {}
    return dict.fromkeys(train, TRAIN) | dict.fromkeys(test, TEST)


def _plainest(pairs: Collection[frozenset[str]]) -> frozenset[str] | None:
    """Which of several pairs is meant, by their other words: the one of images without more."""
    if frozenset() in pairs:
        return frozenset()
    candidates = [others for others in pairs if not others & _MASK_WORDS] or list(pairs)
    return candidates[0] if len(candidates) == 1 else None


def _first_of(known: dict[bytes, Meaning], side: int) -> list[bytes]:
    """The folders of a side that have its first word, and as few more as possible.

    None if some differ in more than in their numbers.
    """
    same = {name: meaning for name, meaning in known.items() if meaning.side == side}
    if not same:
        return []
    first = min((meaning.place, len(meaning.words)) for meaning in same.values())
    names = [name for name, each in same.items() if (each.place, len(each.words)) == first]
    return names if len({same[name].words for name in names}) == 1 else []


def _are_several(names: list[bytes], known: dict[bytes, Meaning]) -> bool:
    """Whether folders differ in their numbers; if both sides do, they may be several divisions."""
    return len({known[name].numbers for name in names}) > 1


def is_of_masks(name: str | bytes) -> bool:
    """Whether a folder holds what belongs to pictures by its name, such as `masks` or `labels`."""
    words = _letters(name)
    return bool(words & _MASK_WORDS) and words <= _OF_MASKS


def is_of_images(name: str | bytes) -> bool:
    """Whether a name says no more than that there are pictures, such as `images` or `train`."""
    words = _letters(name)
    return bool(words) and words <= _SPLIT_WORDS | _NEUTRAL_WORDS


def _letters(name: str | bytes) -> set[str]:
    return {word for word in words_of(name) if not word.isdecimal()}


def without_kind(stem: str) -> tuple[str, ...]:
    """The words of a file's name by which a picture and its mask are the same."""
    return tuple(word for word in words_of(stem) if word not in _MASK_WORDS | _NEUTRAL_WORDS)


def tells_of_labels(file: bytes, folder: bytes) -> bool:
    """Whether a file seems to be a list of labels, by its name or that of its folder."""
    return bool(_letters(folder) & _MASK_WORDS or _letters(file) & _LIST_WORDS)
