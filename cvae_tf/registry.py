"""The tables of names: what can be chosen by a name, and where its code is.

A new network, likelihood, data set, mode, format or family is one file and one line here. Code is
loaded when its name is first used, so this module needs the standard library alone, and flags can
be checked before TensorFlow is there.
"""

import dataclasses

from cvae_tf.core.tables import Entry, Table
from cvae_tf.core.tables import import_home as import_home

_HERE = "cvae_tf."  # what the homes of our own entries begin with


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
