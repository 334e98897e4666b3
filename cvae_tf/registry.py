"""The tables of names: what can be chosen by a name, and where its code is.

A new network, likelihood, data set, mode, format or family is one file and one line here. Code is
loaded when its name is first used, so this module needs the standard library alone, and flags can
be checked before TensorFlow is there.
"""

import dataclasses
import functools
import importlib
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from cvae_tf.core.errors import UserError
from cvae_tf.core.quiet import quiet_import

_HERE = "cvae_tf."  # what the homes of our own entries begin with


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where the code of a name is, and what must be known of it before it is loaded."""

    home: Any  # "module:attribute", or the thing itself
    summary: str = ""  # a few words for people

    def load(self) -> Any:
        """Imports what the name stands for."""
        return import_home(self.home) if isinstance(self.home, str) else self.home


@dataclasses.dataclass(frozen=True)
class LikelihoodEntry(Entry):
    """A likelihood of pixels: a density of grey levels, or probabilities of what there can be."""

    is_density: bool = True
    is_of_levels: bool = False  # probabilities of the 256 grey levels, not of black and white

    @property
    def takes_grey(self) -> bool:
        """Whether pixels are grey levels as they are."""
        return self.is_density or self.is_of_levels


@dataclasses.dataclass(frozen=True)
class Mode(Entry):
    """Something that `generate.py` makes, the settings it looks at, the signatures it calls."""

    settings: tuple[str, ...] = ()
    needs: tuple[str, ...] = ("decode",)


@dataclasses.dataclass(frozen=True)
class Format(Entry):
    """A format of exported models, and the packages that writing it takes."""

    packages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Family(Entry):
    """A kind of model: a subclass of `models.base.GenerativeModel`."""

    # The home of a function that refuses a `Config`, and the shape of images once it is known. It
    # does not need TensorFlow.
    check: str = ""


def import_home(home: str) -> Any:
    """Imports "module:attribute", which may be what brings TensorFlow in."""
    module, _, attribute = home.partition(":")
    with quiet_import():
        return getattr(importlib.import_module(module), attribute)


AnEntry = TypeVar("AnEntry", bound=Entry)


class Table(Generic[AnEntry]):
    """Entries by name, in the order in which people are shown them."""

    def __init__(
        self,
        setting: str,
        entries: dict[str, AnEntry],
        aliases: dict[str, str] | None = None,
        prefixes: dict[str, AnEntry] | None = None,
    ):
        """Takes what the table holds.

        Args:
            setting: whose values the names are.
            entries: by name.
            aliases: older names of some.
            prefixes: entries for all names that begin so, such as "tfds:"; what they stand for is
                called with the rest of the name first.
        """
        self.setting, self._entries = setting, dict(entries)
        self._aliases, self.prefixes = aliases or {}, prefixes or {}

    def __iter__(self) -> Iterator[str]:
        """Yields the names, without those that only a prefix knows."""
        return iter(self._entries)

    def __contains__(self, name: str) -> bool:
        """Whether a name is one of the table, or begins as one."""
        return name in self._entries or self._prefix_of(name) is not None

    def __getitem__(self, name: str) -> AnEntry:
        """Finds an entry.

        Raises:
            UserError: if the name is not in the table; it says which names are.
        """
        name = self._aliases.get(name, name)
        if name in self._entries:
            return self._entries[name]
        prefix = self._prefix_of(name)
        if prefix is None:
            raise UserError(f"--{self.setting}={name}: unknown; choose from {self.listed}.")
        return self.prefixes[prefix]

    def _prefix_of(self, name: str) -> str | None:
        """The prefix that a name begins with, if something comes after it."""
        return next((p for p in self.prefixes if name.startswith(p) and name != p), None)

    @property
    def listed(self) -> str:
        """All names in a line."""
        return ", ".join([*self._entries, *(f"{prefix}NAME" for prefix in self.prefixes)])

    @property
    def summary(self) -> str:
        """The names with a few words each, for help."""
        open_names = {f"{prefix}NAME": entry for prefix, entry in self.prefixes.items()}
        named = {**self._entries, **open_names}
        return "; ".join(f"{name}: {entry.summary}" for name, entry in named.items())

    def load(self, name: str) -> Any:
        """Imports what a name stands for; raises as `[]` does."""
        loaded = self[name].load()
        if self._aliases.get(name, name) in self._entries:
            return loaded
        return functools.partial(loaded, name.removeprefix(self._prefix_of(name)))

    def add(self, name: str, entry: AnEntry) -> None:
        """Adds or replaces an entry, also from outside this package."""
        self._entries[name] = entry

    def remove(self, name: str) -> None:
        """Takes out an entry that was added."""
        del self._entries[name]


FAMILIES: Table[Family] = Table(
    "model",
    {
        "vae": Family(
            f"{_HERE}models.vae.model:CVAE",
            "variational autoencoder",
            check=f"{_HERE}models.vae.settings_check:check",
        ),
    },
)

NETWORKS: Table[Entry] = Table(
    "network",
    {
        "tutorial": Entry(f"{_HERE}models.networks.tutorial:build", "those of the tutorial"),
        "patches": Entry(f"{_HERE}models.networks.patches:build_small", "convolutions on patches"),
        "patches_large": Entry(f"{_HERE}models.networks.patches:build_large", "the same, larger"),
        "patches_smooth": Entry(
            f"{_HERE}models.networks.patches:build_smooth", "the same, for tens of latents"
        ),
        "patches_residual": Entry(
            f"{_HERE}models.networks.patches_residual:build", "for photographs and colours"
        ),
    },
)

LIKELIHOODS: Table[LikelihoodEntry] = Table(
    "likelihood",
    {
        "bernoulli": LikelihoodEntry(
            f"{_HERE}models.vae.likelihoods:BERNOULLI", "black or white", is_density=False
        ),
        "continuous_bernoulli": LikelihoodEntry(
            f"{_HERE}models.vae.likelihoods:CONTINUOUS_BERNOULLI", "a density of grey levels"
        ),
        "gaussian": LikelihoodEntry(
            f"{_HERE}models.vae.likelihoods:GAUSSIAN",
            "another, with a learned variance, a function of the latents",
        ),
        "discretized_logistic": LikelihoodEntry(
            f"{_HERE}models.vae.discretized_logistic:DISCRETIZED_LOGISTIC",
            "256 levels, in bits/dim as the literature has them",
            is_density=False,
            is_of_levels=True,
        ),
    },
)

BINARIZATIONS: Table[Entry] = Table(
    "binarize",
    {
        "threshold": Entry(
            f"{_HERE}models.vae.binarization:THRESHOLD", "pixels above 0.5 are white"
        ),
        "dynamic": Entry(
            f"{_HERE}models.vae.binarization:DYNAMIC", "drawn by the grey level at each visit"
        ),
        "none": Entry(f"{_HERE}models.vae.binarization:NONE", "grey levels as they are"),
    },
)

DATASETS: Table[Entry] = Table(
    "dataset",
    {
        "auto": Entry(
            f"{_HERE}data.datasets:load_auto",
            "MNIST if it is cached or can be downloaded, else the bundled digits",
        ),
        "mnist": Entry(f"{_HERE}data.keras_sets:load_mnist", "MNIST"),
        "digits": Entry(f"{_HERE}data.digits:load", "the bundled digits"),
        "fashion_mnist": Entry(f"{_HERE}data.keras_sets:load_fashion_mnist", "clothes"),
        "cifar10": Entry(f"{_HERE}data.keras_sets:load_cifar10", "photographs of 10 kinds"),
        "cifar100": Entry(f"{_HERE}data.keras_sets:load_cifar100", "photographs of 100 kinds"),
    },
    prefixes={
        "tfds:": Entry(
            f"{_HERE}data.tfds_sets:load", "one of TensorFlow Datasets, such as tfds:kmnist"
        ),
    },
)

FORMATS: Table[Format] = Table(
    "format",
    {
        "saved_model": Format(f"{_HERE}exporting.saved_model:write", "with the GIF"),
        "litert": Format(f"{_HERE}exporting.litert:write", "for LiteRT"),
        "onnx": Format(
            f"{_HERE}exporting.onnx_files:write", "for ONNX", packages=("tf2onnx", "onnx")
        ),
        "keras": Format(f"{_HERE}exporting.keras_file:write", "for Keras"),
    },
)

_IMAGES = ("data_path", "resize", "invert")

MODES: Table[Mode] = Table(
    "mode",
    {
        "samples": Mode(
            f"{_HERE}generation.samples:make",
            "images from the prior",
            settings=("num", "seed", "individual"),
        ),
        "manifold": Mode(f"{_HERE}generation.manifold:make", "the whole latent space"),
        "reconstruct": Mode(
            f"{_HERE}generation.reconstruct:make",
            "images over their reconstructions",
            settings=("num", *_IMAGES),
            needs=("reconstruct",),
        ),
        "interpolate": Mode(
            f"{_HERE}generation.interpolate:make",
            "the way between two images or latents",
            settings=("start", "end", *_IMAGES),
        ),
        "neighbours": Mode(
            f"{_HERE}generation.neighbours:make",
            "more like one image",
            settings=("index", "num", "seed", "spread", *_IMAGES),
            needs=("encode", "decode"),
        ),
        "class": Mode(
            f"{_HERE}generation.of_class:make",
            "images of a label",
            settings=("label", "num", "seed", "spread", *_IMAGES),
            needs=("encode", "decode"),
        ),
        "anomalies": Mode(
            f"{_HERE}generation.anomalies:make",
            "the most unusual images",
            settings=("num", "seed", *_IMAGES),
            needs=("score",),
        ),
        "denoise": Mode(
            f"{_HERE}generation.denoise:make",
            "noisy images in, clean ones out",
            settings=("num", "seed", "noise", *_IMAGES),
            needs=("encode", "decode"),
        ),
        "latents": Mode(
            f"{_HERE}generation.latents:make",
            "posterior and score of each image",
            settings=("seed", *_IMAGES),
            needs=("encode", "score"),
        ),
    },
    aliases={"digit": "class"},
)
