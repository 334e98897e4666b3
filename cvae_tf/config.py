"""Everything that defines a run: its settings in sections, one way to make them, all their checks.

`RunOptions` concern how a run is trained, not its result. Flags and their help are made from both
without TensorFlow. What is known about a name, such as a likelihood, is on the object it names.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cvae_tf import checks
from cvae_tf.core import settings
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find, setting
from cvae_tf.data.inspection import Looks, look_at
from cvae_tf.data.pictures import CACHE_MB, IN_MEMORY, ReadingSettings
from cvae_tf.presets import (
    DEFAULT_PRESET,
    PHOTO_PRESET,
    PRESETS,
    SHARED_LATENTS,
    settings_for_few,
)

RUNS, LATEST = Path("runs"), "latest"  # a link to the newest usable one
EVALUATION = "evaluation.json"  # in a run

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu")
SCHEDULES = ("constant", "cosine", "linear")
PRECISIONS = ("float32", "mixed_bfloat16")
OBJECTIVES = ("elbo", "elbo_analytic", "iwae", "shared")
SAMPLERS = ("prior", "mixture")
STRATEGIES = {
    "single": "one device",
    "mirrored": "all GPUs of this machine",
    "multiworker": "the machines that TF_CONFIG or Slurm name",
}

# Names in open tables, to which others may have added: see `open_tables`.
_MODELS = {"vae": "variational autoencoder", "gan": "generative adversarial network"}
_DATASETS = {
    "auto": "MNIST if it can be had, else the bundled digits",
    "mnist": "MNIST",
    "digits": "the bundled digits",
    "fashion_mnist": "clothes",
    "cifar10": "photographs of 10 kinds",
    "cifar100": "photographs of 100 kinds",
    IN_MEMORY: "those given to cvae_tf.train, from Python",
    "tfds:NAME": "one of TensorFlow Datasets, such as tfds:kmnist",
}
_NETWORKS = {
    "tutorial": "those of the tutorial",
    "mlp": "dense layers, 784-400-Z",
    "hybrid": "dense layers beside convolutions",
    "patches": "convolutions on patches",
    "patches_smooth": "the same, for tens of latents",
    "patches_residual": "for photographs and colours",
    "dcgan": "the classic pair of a GAN",
    "sub_pixel": "a light pair of a GAN",
}
_BINARIZATIONS = {
    "threshold": "pixels above 0.5 are white",
    "dynamic": "drawn by the grey level at each visit",
    "none": "grey levels or colours as they are",
}
_LIKELIHOODS = {
    "bernoulli": "black or white",
    "continuous_bernoulli": "a density of grey levels",
    "gaussian": "a density of grey levels with a learned variance",
    "discretized_logistic": "256 levels, in bits/dim as the literature has them",
    "neighbour_logistic": "the same, but a value also follows its neighbours and other channels "
    "(with --learning_rate=0.001)",
}
_GAN_LOSSES = {
    "non_saturating": "the classic one",
    "hinge": "linear up to a margin",
    "wgan_gp": "Wasserstein, gradients near one",
}
_OPTIMIZERS = (
    *("adam", "adamw", "adamax", "nadam", "rmsprop", "sgd", "lion", "muon"),
    *("adagrad", "adadelta", "adafactor", "lamb", "ftrl"),
)

# Every version has written these into `config.json`.
_ALWAYS_WRITTEN = ("network", "batch_size", "learning_rate", "schedule", "augment")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is trained this time; its result does not depend on it."""

    checkpoint_every: str = setting(
        "How often to write a checkpoint within an epoch: 500 (steps) or 60s (seconds).", "300s"
    )
    tensorboard: bool = setting("Write for TensorBoard too, if installed.", False)
    cache_mb: int | None = setting(
        "Largest size of a folder's images that is held in memory, in megabytes. Larger ones are "
        f"read from a file in the Keras cache as they are needed. By default {CACHE_MB:,}.",
        None, least=0, most=10**9,
    )  # fmt: skip
    strategy: str = setting("Where to train.", "single", choices=STRATEGIES)
    logical_cpus: int = setting(
        "To try mirrored without GPUs: into how many devices to divide the processor.", 0,
        least=0, most=64,
    )  # fmt: skip
    verbose: int = setting(
        "0: print nothing. 1: at most thirty lines of epochs. 2: a line for each epoch.", 1,
        least=0, most=2,
    )  # fmt: skip

    def __post_init__(self):
        """Raises a UserError that names the first value that is not allowed."""
        if isinstance(self.verbose, bool):
            object.__setattr__(self, "verbose", int(self.verbose))
        settings.check(self)
        _ = self.checkpoint_interval

    @property
    def checkpoint_interval(self) -> tuple[float, float]:
        """The steps and the seconds between checkpoints; one of them is infinite.

        Raises:
            UserError: if it is neither, or not above 0.
        """
        text, number = self.checkpoint_every, self.checkpoint_every.removesuffix("s")
        if not number.isdecimal() or int(number) == 0:
            raise UserError(f"--checkpoint_every={text}: must be steps (500) or seconds (60s).")
        return (math.inf, float(number)) if text.endswith("s") else (float(number), math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings(ReadingSettings):
    """What a model learns from."""

    dataset: str = setting("A data set by name.", "auto", choices=_DATASETS, are_open=True)
    data_path: str | None = setting(
        "Your own images: a folder of pictures, an .npz with x_train (and perhaps x_test, "
        "y_train, y_test), or an .npy.",
        None,
        is_path=True,
    )
    flip: bool = setting("Mirror training images left to right, at random.", False)
    augment: float = setting(
        "Random warps of the training images. 1: about 5 degrees, 5 %, half a pixel; 0: none.",
        0.0, least=0, most=10,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The kind of model and its networks."""

    model: str = setting("The kind of model.", checks.USUAL_FAMILY, choices=_MODELS, are_open=True)
    network: str = setting("Encoder and decoder.", "patches", choices=_NETWORKS, are_open=True)
    latent_dim: int = setting("Number of latent dimensions.", 2, least=1, most=4096)
    hidden: str | None = setting(
        "Units of the dense layers, from the image to the latents, such as 512,256. By default "
        "the network decides.",
        None,
    )
    activation: str | None = setting(
        "Activation between the layers. By default the network decides.", None, choices=ACTIVATIONS
    )
    dropout: float = setting(
        "Share of the features that is left out in training.", 0.0, least=0, most=0.9
    )
    conditional: bool = setting(
        "Learn the labels too, so that the model draws the class that you ask for.", False
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VaeSettings:
    """Settings only of VAEs: pixels, objective, where samples come from."""

    binarize: str = setting(
        "How grey levels become pixels.", "threshold", choices=_BINARIZATIONS, are_open=True
    )
    likelihood: str = setting(
        "Distribution of a pixel.", "bernoulli", choices=_LIKELIHOODS, are_open=True
    )
    objective: str = setting(
        "elbo; elbo_analytic (KL in closed form); iwae (importance-weighted bound); or shared "
        "(half the ELBO, half log p(x) by latents that all images share; for one or two latents).",
        "elbo",
        choices=OBJECTIVES,
    )
    importance_samples: int = setting(
        "Posterior samples of each image, for the objective iwae.", 1, least=1, most=10**4
    )
    shared_latents: int = setting(
        "Latents that all images of a batch share, for the objective shared.",
        SHARED_LATENTS, least=1, most=10**5,
    )  # fmt: skip
    beta: float = setting("Weight of the KL in training.", 1.0, least=0, most=1000)
    kl_warmup_epochs: int = setting(
        "Epochs during which beta grows from 0.", 0, least=0, most=10**6
    )
    free_bits: float = setting(
        "Nats of KL in each latent dimension that cost nothing.", 0.0, least=0, most=100
    )
    sampler: str = setting(
        "Where samples come from: the prior, or a mixture of Gaussians that is fitted to the "
        "latents of the training images after training.",
        "prior",
        choices=SAMPLERS,
    )
    denoise: float = setting(
        "Standard deviation of noise that is added to what the encoder sees in training; the "
        "model still learns the clean image.", 0.0, least=0, most=10,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanSettings:
    """Settings only of GANs: how generator and discriminator learn from each other."""

    gan_loss: str = setting(
        "Loss of generator and discriminator.", "non_saturating", choices=_GAN_LOSSES, are_open=True
    )
    r1: float = setting(
        "Weight of the penalty on the discriminator's gradient at real images; 0: none.", 0.0,
        least=0, most=10**4,
    )  # fmt: skip
    spectral_norm: bool = setting(
        "Keep each layer of the discriminator at spectral norm one.", False
    )
    diff_augment: str = setting(
        "Random changes of real and drawn images alike, with commas between: mirror, "
        "translation, cutout, colour. Or none, or auto: mirror for colours, translation for "
        "fewer than 20,000 images.",
        "auto",
    )
    beta1: float = setting("Adam of a GAN: decay of the mean gradient.", 0.5, least=0, most=0.9999)
    beta2: float = setting(
        "Adam of a GAN: decay of the mean squared gradient.", 0.99, least=0, most=0.999999
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How long and with which steps a model learns."""

    epochs: int = setting(
        "Passes over the training images; of few images there are more.", 10, least=1, most=10**6
    )
    early_stop: int = setting(
        "Stop after so many epochs without a better test figure, and export the best epoch. "
        "0: never.", 0, least=0, most=10**6,
    )  # fmt: skip
    batch_size: int = setting(
        "Images in a training step, or all of them if there are fewer.", 128, least=1, most=10**6
    )
    optimizer: str = setting(
        f"An optimizer of Keras: {', '.join(_OPTIMIZERS)}.",
        "adam",
        choices=_OPTIMIZERS,
        are_open=True,
    )
    learning_rate: float = setting("Largest step size.", 4e-3, least=0)
    schedule: str = setting(
        "constant; cosine: a warm-up, then down to 0 over all epochs; or linear: constant, and "
        "down to three tenths in the second half (a discriminator without labels keeps its rate).",
        "cosine",
        choices=SCHEDULES,
    )
    warmup_steps: int = setting(
        "Steps of warm-up, at most a tenth of all (cosine only).", 200, least=0, most=10**9
    )
    weight_decay: float = setting(
        "Decay of the kernels, times the step size.", 0.0, least=0, most=1
    )
    clip_norm: float = setting(
        "Largest norm of the gradients of a step, longer ones being shortened; 0: none.", 0.0,
        least=0, most=10**6,
    )  # fmt: skip
    ema: float = setting(
        "Evaluate and export weights that are averaged over the last steps, with this decay "
        "(such as 0.999); 0: the last weights.", 0.0, least=0, most=0.999999,
    )  # fmt: skip
    precision: str = setting("Number format of the layers.", "float32", choices=PRECISIONS)
    jit: bool = setting("Compile the step with XLA; it then draws other random numbers.", False)
    threads: int = setting("Threads for TensorFlow; 0: one for each core.", 0, least=0, most=1024)
    seed: int = setting(
        "The same seed gives the same run on the same machine.",
        0, least=0, most=settings.LARGEST_SEED,
    )  # fmt: skip


_SECTIONS_OF_FAMILIES = {"vae": VaeSettings, "gan": GanSettings}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingSettings, GanSettings, VaeSettings, NetworkSettings, DataSettings):
    """All settings of a run. `Config.create` makes one; without a preset as in `fast`."""

    preset: str = setting(
        "A network and how to train it, by name; other flags that you give win. By default fast, "
        "or photo if the images have grey levels or colours.",
        DEFAULT_PRESET,
        choices=PRESETS,
    )

    def __post_init__(self):
        """Refuses values that no run can have.

        Raises:
            UserError: names the first setting that is out of range, or does not fit others.
        """
        super().__post_init__()
        if self.data_path is not None and self.dataset != "auto":
            raise UserError(
                f"--data_path={self.data_path} and --dataset={self.dataset}: give one of the two."
            )
        checks.check_names(dataclasses.fields(self), vars(self))
        checks.check_network(self)
        if self.model == "vae":
            checks.check_vae(self)
        elif self.model == "gan":
            checks.check_gan(self)

    @classmethod
    def create(cls, images: Any = None, **given: Any) -> "Config":
        """Joins a preset with explicit settings, which win.

        Args:
            images: those to learn from, uint8 [N, H, W, C], or their `Looks`; they decide what is
                not given, such as the preset. None if they are not known yet; then only what
                no images allow is refused.
            **given: values of fields.

        Raises:
            UserError: if a value is out of range, or settings do not fit each other, the family of
                the model or the images.
        """
        if images is not None and not isinstance(images, Looks):
            images = look_at(images)
        settings.check_names(given, cls)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        given = {name: settings.checked(fields[name], value) for name, value in given.items()}
        checks.check_names(dataclasses.fields(cls), given)
        if "preset" in given:
            return cls._of_preset(images, **given)
        own = checks.preset_of(given["model"]) if given.get("model") else None
        if own or images is not None:
            are_made_so = given.get("binarize", "none") != "none"
            is_usual = images is None or images.are_black_and_white or are_made_so
            preset = own or (DEFAULT_PRESET if is_usual else PHOTO_PRESET)
            config = cls._of_preset(images, preset=preset, **given)
            return dataclasses.replace(config, **config.chosen_for_few(images, given))
        try:
            return cls._of_preset(None, preset=DEFAULT_PRESET, **given)
        except UserError as error:
            with contextlib.suppress(UserError):
                return cls._of_preset(None, preset=PHOTO_PRESET, **given)
            raise error

    def chosen_for_few(self, images: Looks | None, given: dict[str, Any]) -> dict[str, Any]:
        """Settings that few images change, by name; never those that are given, or were not tried.

        Nothing changes if a preset or a network is named; `epochs` that are given stay.
        """
        if images is None or given.keys() & {"preset", "network"}:
            return {}
        batch_size = self.batch_size if "batch_size" in given else None
        chosen = settings_for_few(images.num, images.shape[-1], self.preset, batch_size)
        gone = {*given, *(("early_stop",) if "epochs" in given else ())}
        return {name: value for name, value in chosen.items() if name not in gone}

    @classmethod
    def _of_preset(cls, images: Any, preset: str, **given: Any) -> "Config":
        """Joins a preset with explicit settings, and checks both."""
        find("preset", PRESETS, preset)
        usual = {field.name: field.default for field in dataclasses.fields(cls)}
        values = {**usual, **PRESETS[preset], **given, "preset": preset}
        checks.check_preset(preset, values["model"])
        config = cls(**checks.without_what_gives_way(values, given))
        config.check_family(given)
        return config if images is None else config.for_images(images)

    def for_images(self, images: Any) -> "Config":
        """Checks the settings for images, or their `Looks`, and chooses what depends on them.

        Raises:
            UserError: if they do not fit.
        """
        if self.model == "vae":
            checks.check_pixels(self, images)
        elif self.model == "gan":
            return dataclasses.replace(self, diff_augment=checks.changes_for(self, images))
        return self

    def has(self, name: str) -> bool:
        """Whether a setting is one of this family of models."""
        return self.owner(name) in (None, self.model)

    @staticmethod
    def owner(name: str) -> str | None:
        """The family of models to which a setting belongs; None for those of all."""
        for family, section in _SECTIONS_OF_FAMILIES.items():
            if name in section.__dataclass_fields__:
                return family
        return None

    def check_family(self, names: Iterable[str]) -> None:
        """Raises a UserError that names the first setting of another family of models."""
        for name in names:
            if not self.has(name):
                raise UserError(
                    f"--{name} is a setting of --model={self.owner(name)}; this is "
                    f"--model={self.model}."
                )

    def extended(self, given: dict[str, Any]) -> "Config":
        """Checks settings against those of this run, which may only be trained longer.

        Its images may have been moved; the caller must check that they are the same.

        Returns:
            This configuration, or one with more epochs, another `early_stop` or `data_path`.

        Raises:
            UserError: if a setting differs, or fewer epochs are asked for.
        """
        fields = {field.name: field for field in dataclasses.fields(self)}
        given = {name: settings.checked(fields[name], value) for name, value in given.items()}
        self.check_family(given)
        for name, value in given.items():
            own = getattr(self, name)
            may_be = (name == "epochs" and value > own) or (name == "data_path" and value)
            may_be = may_be or name == "early_stop"
            if value != own and not may_be:
                raise UserError(f"--{name}={value} contradicts --{name}={own} of the run.")
        names = ("epochs", "early_stop", "data_path")
        changed = {name: given[name] for name in names if name in given}
        if changed.get("data_path") and self.dataset == IN_MEMORY:
            changed["dataset"] = "auto"  # the arrays are in a file now
        return dataclasses.replace(self, **changed)

    @classmethod
    def from_json(cls, values: Any) -> "Config":
        """Reads what `to_json` wrote, also in versions with fewer settings.

        Raises:
            UserError: if the values are not those of a configuration.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or not set(_ALWAYS_WRITTEN) <= set(values) <= names:
            raise UserError("the settings are not those of this version of cvae-tf.")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as a dictionary of plain values, in their order here."""
        return dataclasses.asdict(self)
