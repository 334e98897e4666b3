"""Everything that defines a run: a frozen dataclass, its presets, its checks and its JSON."""

import dataclasses
import math
from typing import Any

from cvae_tf.core.errors import UserError

PRESETS = {
    # The TensorFlow tutorial "Convolutional Variational Autoencoder", to the letter.
    "tutorial": {
        "network": "tutorial",
        "batch_size": 32,
        "learning_rate": 1e-4,
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # Several times faster and twenty nats better: see benchmarks/NOTES.md.
    "fast": {
        "network": "patches",
        "batch_size": 128,
        "learning_rate": 4e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # The best test ELBO that about fifty epochs' worth of the time of "fast" buys.
    "best": {
        "network": "patches_large",
        "epochs": 21,
        "batch_size": 128,
        "learning_rate": 4e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.05,
        "augment": 0.15,
    },
}
DEFAULT_PRESET = "fast"
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "mixed_bfloat16")
FORMATS = ("saved_model", "litert", "onnx", "keras")
DATASETS = ("auto", "mnist", "digits")
BINARIZATIONS = ("threshold", "dynamic", "none")
LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "gaussian")
OBJECTIVES = ("elbo", "elbo_analytic", "iwae")
_TITLES = {
    "elbo": "ELBO",
    "log_likelihood": "log-likelihood",
    "kl": "KL",
    "pseudo_elbo": "pseudo-ELBO",
    "negative_cross_entropy": "negative cross-entropy",
}
LARGEST_SEED = 2**31 - 1


def setting(help_text: str, default: Any = dataclasses.MISSING, choices: tuple = ()) -> Any:
    """A field with the text and the choices that its flag shows."""
    metadata = {"help": help_text, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run; a field without a default gets its value from the preset."""

    preset: str = setting(
        "Named network and recipe; explicit flags override its values.",
        DEFAULT_PRESET,
        tuple(PRESETS),
    )
    network: str = setting("Encoder and decoder, by their name in networks.py.")
    dataset: str = setting(
        "auto: MNIST if it is cached or can be downloaded, else the bundled digits.",
        "auto",
        DATASETS,
    )
    data_path: str | None = setting(
        "Your own images: an .npz with x_train and optionally x_test, y_train, y_test.", None
    )
    binarize: str = setting(
        "threshold: pixels above 0.5 are white; dynamic: drawn by their grey levels at each visit; "
        "none: grey levels.",
        "threshold",
        BINARIZATIONS,
    )
    likelihood: str = setting(
        "Of a pixel; all but bernoulli are densities of grey levels.", "bernoulli", LIKELIHOODS
    )
    latent_dim: int = setting("Number of latent dimensions.", 2)
    objective: str = setting(
        "elbo, elbo_analytic (KL in closed form) or iwae (importance-weighted bound).",
        "elbo",
        OBJECTIVES,
    )
    importance_samples: int = setting("Posterior samples of each image, for iwae.", 1)
    beta: float = setting("Weight of the KL in training.", 1.0)
    kl_warmup_epochs: int = setting("Epochs in which that weight grows from 0.", 0)
    free_bits: float = setting("Nats of KL in each latent dimension that cost nothing.", 0.0)
    epochs: int = setting("Passes over the training images.", 10)
    batch_size: int = setting("Images in a training step.")
    learning_rate: float = setting("Largest step size of Adam.")
    schedule: str = setting(
        "constant, or cosine: a warm-up, then down to 0 over all epochs.", choices=SCHEDULES
    )
    warmup_steps: int = setting("Steps of warm-up, at most a tenth of all (cosine only).")
    weight_decay: float = setting("Decay of the kernels, times the step size.")
    augment: float = setting(
        "Random warps of the training images; 1: about 5 degrees, 5 %, half a pixel; 0: none."
    )
    precision: str = setting("Of the layers.", "float32", PRECISIONS)
    jit: bool = setting("Compile the step with XLA; it then draws other random numbers.", False)
    threads: int = setting("Threads for TensorFlow; 0: as many as there are cores.", 0)
    seed: int = setting("The same seed gives the same run on the same machine.", 0)

    def __post_init__(self):
        """Refuses values that no run can have.

        Raises:
            UserError: naming the first setting that is out of its range.
        """
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), field.type
            if not isinstance(value, (int, float) if kind is float else kind):
                raise UserError(f"--{field.name}={value}: has the wrong type.")
        for name, low, high in (
            ("epochs", 1, 10**6),
            ("batch_size", 1, 10**6),
            ("latent_dim", 1, 4096),
            ("seed", 0, LARGEST_SEED),
            ("warmup_steps", 0, 10**9),
            ("threads", 0, 1024),
            ("importance_samples", 1, 10**4),
            ("kl_warmup_epochs", 0, 10**6),
        ):
            check_whole_number(name, getattr(self, name), low, high)
        if not (_is_number(self.learning_rate) and self.learning_rate > 0):
            raise UserError(
                f"--learning_rate={self.learning_rate}: must be a number above 0, such as 1e-3."
            )
        for name, high in (
            ("weight_decay", 1.0), ("augment", 10.0), ("beta", 1000.0), ("free_bits", 100.0)
        ):  # fmt: skip
            check_number(name, getattr(self, name), high)
        for field in dataclasses.fields(self):
            _check_choice(field.name, getattr(self, field.name), field.metadata["choices"])
        if self.data_path is not None and self.dataset != "auto":
            raise UserError(
                f"--data_path={self.data_path} and --dataset={self.dataset}: give one of the two."
            )
        if self.likelihood != "bernoulli" and self.binarize != "none":
            raise UserError(
                f"--likelihood={self.likelihood} is a density of grey levels; give --binarize=none."
            )
        if (self.objective == "iwae") != (self.importance_samples > 1):
            raise UserError(
                f"--importance_samples={self.importance_samples} with --objective="
                f"{self.objective}: iwae needs at least 2, and the others take 1."
            )

    @classmethod
    def create(cls, preset: str = DEFAULT_PRESET, **settings: Any) -> "Config":
        """Joins a preset with explicit settings, which win.

        Args:
            preset: a name in `PRESETS`.
            **settings: values of any other fields.

        Returns:
            The complete configuration.

        Raises:
            UserError: if the preset is unknown or a value is out of range.
        """
        _check_choice("preset", preset, tuple(PRESETS))
        return cls(preset=preset, **{**PRESETS[preset], **settings})

    def extended(self, settings: dict[str, Any]) -> "Config":
        """Checks settings against those of this run, which may only get more epochs.

        Args:
            settings: the ones that were asked for.

        Returns:
            This configuration, or one with more epochs.

        Raises:
            UserError: if a setting is another, or fewer epochs are asked for.
        """
        for name, value in settings.items():
            own = getattr(self, name)
            if name == "epochs" and value > own:
                continue
            if value != own:
                raise UserError(f"--{name}={value} contradicts --{name}={own} of the run.")
        return dataclasses.replace(self, epochs=settings.get("epochs", self.epochs))

    @classmethod
    def from_json(cls, values: Any) -> "Config":
        """Reads what `to_json` wrote, also before there were all of today's settings.

        Raises:
            UserError: if the values are not those of a configuration.
        """
        fields = dataclasses.fields(cls)
        needed = {field.name for field in fields if field.default is dataclasses.MISSING}
        names = {field.name for field in fields}
        if not isinstance(values, dict) or not needed <= set(values) <= names:
            raise UserError("the settings are not those of this version of cvae-tf.")
        return cls(**values)

    @property
    def term_names(self) -> dict[str, str]:
        """What the ELBO and its parts are to be called in this run."""
        return term_names(self.binarize, self.likelihood)

    @property
    def term_titles(self) -> dict[str, str]:
        """The same for people."""
        return term_titles(self.binarize, self.likelihood)

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as a dictionary of plain values, in their order here."""
        return dataclasses.asdict(self)


def term_names(binarize: str, likelihood: str) -> dict[str, str]:
    """What the ELBO and its parts are to be called.

    The cross-entropy of grey levels is no log-likelihood: nothing makes its exponential a density,
    so what it is part of bounds no log p(x).
    """
    if binarize == "none" and likelihood == "bernoulli":
        return {"elbo": "pseudo_elbo", "log_likelihood": "negative_cross_entropy", "kl": "kl"}
    return {"elbo": "elbo", "log_likelihood": "log_likelihood", "kl": "kl"}


def term_titles(binarize: str, likelihood: str) -> dict[str, str]:
    """What people read for the names of the terms."""
    return {term: _TITLES[name] for term, name in term_names(binarize, likelihood).items()}


def check_whole_number(name: str, value: Any, low: int, high: int) -> None:
    """Raises a UserError that names the setting if its value is no such number."""
    if type(value) is not int or not low <= value <= high:
        raise UserError(f"--{name}={value}: must be a whole number from {low} to {high}.")


def check_number(name: str, value: Any, high: float) -> None:
    """Raises a UserError that names the setting if its value is no number from 0 to `high`."""
    if not (_is_number(value) and 0 <= value <= high):
        raise UserError(f"--{name}={value}: must be a number from 0 to {high:g}.")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _check_choice(name: str, value: Any, choices: tuple) -> None:
    if choices and value not in choices:
        raise UserError(f"--{name}={value}: unknown; choose from {', '.join(choices)}.")
