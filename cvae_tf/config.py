"""Everything that defines a run: a frozen dataclass, its checks and its JSON."""

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any

from cvae_tf import registry
from cvae_tf.core import settings
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import setting
from cvae_tf.gan_settings import GanSettings
from cvae_tf.network_settings import NetworkSettings, without_unknown
from cvae_tf.presets import DEFAULT_PRESET, PHOTO_PRESET, PRESETS, SHARED_LATENTS, joined
from cvae_tf.reading import ReadingSettings

SCHEDULES = ("constant", "cosine", "linear")
PRECISIONS = ("float32", "mixed_bfloat16")
USUAL_OBJECTIVE = "elbo"
OBJECTIVES = (USUAL_OBJECTIVE, "elbo_analytic", "iwae", "shared")
SAMPLERS = ("prior", "mixture")
_DEFAULT_MODEL = "vae"


def preset_of_family(given: dict[str, Any]) -> dict[str, str]:
    """The preset of the family that settings ask for, if that has one of its own."""
    model = given.get("model", _DEFAULT_MODEL)
    preset = registry.FAMILIES[model].preset
    return {"preset": preset} if preset else {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(GanSettings, NetworkSettings, ReadingSettings):
    """All settings of a run; a field without a default gets its value from the preset."""

    preset: str = setting(
        "Named network and recipe; explicit flags override its values. If none is given, photo is "
        "taken for images of grey levels or colours.",
        DEFAULT_PRESET,
        choices=PRESETS,
    )
    model: str = setting("The kind of model.", _DEFAULT_MODEL, choices=registry.FAMILIES)
    dataset: str = setting(
        "What to learn from.",
        "auto",
        choices=registry.DATASETS,
    )
    data_path: str | None = setting(
        "Your own images: a folder of pictures; an .npz with x_train and optionally x_test, "
        "y_train, y_test; or an .npy of images.",
        None,
        is_path=True,
    )
    binarize: str = setting(
        "How grey levels become pixels.",
        "threshold",
        choices=registry.BINARIZATIONS,
        family="vae",
    )
    likelihood: str = setting(
        "Of a pixel.",
        "bernoulli",
        choices=registry.LIKELIHOODS,
        family="vae",
    )
    latent_dim: int = setting("Number of latent dimensions.", 2, least=1, most=4096)
    objective: str = setting(
        "elbo; elbo_analytic (KL in closed form); iwae (importance-weighted bound); or shared "
        "(half the ELBO, half log p(x) by latents that all images share; for one or two latents).",
        USUAL_OBJECTIVE,
        choices=OBJECTIVES,
        family="vae",
    )
    importance_samples: int = setting(
        "Posterior samples of each image, for iwae.", 1, least=1, most=10**4, family="vae"
    )
    shared_latents: int = setting(
        "Latents that all images of a batch share, for shared.", SHARED_LATENTS,
        least=1, most=10**5, family="vae",
    )  # fmt: skip
    beta: float = setting("Weight of the KL in training.", 1.0, least=0, most=1000, family="vae")
    kl_warmup_epochs: int = setting(
        "Epochs in which that weight grows from 0.", 0, least=0, most=10**6, family="vae"
    )
    free_bits: float = setting(
        "Nats of KL in each latent dimension that cost nothing.", 0.0,
        least=0, most=100, family="vae",
    )  # fmt: skip
    sampler: str = setting(
        "Where samples come from: the prior, or a mixture of Gaussians that is fitted to the "
        "latents of the training images after training.",
        "prior",
        choices=SAMPLERS,
        family="vae",
    )
    denoise: float = setting(
        "Deviation of the noise that is added to what the encoder sees in training, where it "
        "learns the clean image.", 0.0, least=0, most=10, family="vae",
    )  # fmt: skip
    epochs: int = setting("Passes over the training images.", 10, least=1, most=10**6)
    early_stop: int = setting(
        "Epochs without a better test figure after which training ends; the best epoch is then "
        "exported. 0: never.", 0, least=0, most=10**6,
    )  # fmt: skip
    batch_size: int = setting(
        "Images in a training step; all of them if there are fewer.", least=1, most=10**6
    )
    optimizer: str = setting("How steps are taken.", "adam", choices=registry.OPTIMIZERS)
    learning_rate: float = setting("Largest step size.", least=0)
    schedule: str = setting(
        "constant; cosine: a warm-up, then down to 0 over all epochs; or linear: constant, and "
        "down to three tenths in the second half.",
        choices=SCHEDULES,
    )
    warmup_steps: int = setting(
        "Steps of warm-up, at most a tenth of all (cosine only).", least=0, most=10**9
    )
    weight_decay: float = setting("Decay of the kernels, times the step size.", least=0, most=1)
    clip_norm: float = setting(
        "Largest norm of the gradients of a step, longer ones being shortened; 0: none.", 0.0,
        least=0, most=10**6,
    )  # fmt: skip
    ema: float = setting(
        "Weights averaged over the last steps, by this decay (0.999), are evaluated and exported; "
        "0: the last weights.", 0.0, least=0, most=0.999999,
    )  # fmt: skip
    flip: bool = setting("Mirror training images left to right, by chance.", False)
    augment: float = setting(
        "Random warps of the training images; 1: about 5 degrees, 5 %, half a pixel; 0: none.",
        least=0, most=10,
    )  # fmt: skip
    precision: str = setting("Of the layers.", "float32", choices=PRECISIONS)
    jit: bool = setting("Compile the step with XLA; it then draws other random numbers.", False)
    threads: int = setting(
        "Threads for TensorFlow; 0: as many as there are cores.", 0, least=0, most=1024
    )
    seed: int = setting(
        "The same seed gives the same run on the same machine.",
        0, least=0, most=settings.LARGEST_SEED,
    )  # fmt: skip

    def __post_init__(self):
        """Refuses values that no run can have.

        Raises:
            UserError: naming the first setting that is out of its range, or does not fit others.
        """
        super().__post_init__()
        if self.data_path is not None and self.dataset != "auto":
            raise UserError(
                f"--data_path={self.data_path} and --dataset={self.dataset}: give one of the two."
            )
        self.check_network()
        self.check_by_family()

    def check_by_family(self, image_shape: tuple[int, int, int] | None = None) -> None:
        """Refuses settings that make no sense to the family, or for such images.

        Args:
            image_shape: height, width and channels, once they are known.

        Raises:
            UserError: naming the first one.
        """
        check = registry.FAMILIES[self.model].check
        if check:
            registry.import_home(check)(self, image_shape)

    @classmethod
    def create(cls, preset: str = DEFAULT_PRESET, **given: Any) -> "Config":
        """Joins a preset with explicit settings, which win.

        Args:
            preset: a name in `PRESETS`.
            **given: values of any other fields.

        Returns:
            The complete configuration.

        Raises:
            UserError: if the preset is unknown, a value is out of range, or a setting belongs to
                another family of models.
        """
        if preset not in PRESETS:
            raise UserError(f"--preset={preset}: unknown; choose from {', '.join(PRESETS)}.")
        values = joined(preset, given)
        cls._check_preset(preset, values.get("model", _DEFAULT_MODEL))
        config = cls(preset=preset, **without_unknown(values, given))
        config.check_family(given)
        return config

    @staticmethod
    def _check_preset(preset: str, model: str) -> None:
        """Refuses a preset of another family."""
        own, known = PRESETS[preset].get("model", _DEFAULT_MODEL), registry.FAMILIES[model]
        if model != own and (known.preset or own != _DEFAULT_MODEL):
            fitting = known.preset or DEFAULT_PRESET
            raise UserError(
                f"--preset={preset} is one of --model={own}; for --model={model} there is "
                f"--preset={fitting}."
            )

    @classmethod
    def create_before_data(cls, **given: Any) -> "Config":
        """Joins explicit settings with the first preset that they fit.

        If no preset is given, the images decide; this checks what can be checked before that.

        Raises:
            UserError: if they fit none, as `create` does.
        """
        given = {**preset_of_family(given), **given}
        if "preset" in given:
            return cls.create(**given)
        try:
            return cls.create(DEFAULT_PRESET, **given)
        except UserError as error:
            with contextlib.suppress(UserError):
                return cls.create(PHOTO_PRESET, **given)
            raise error

    @classmethod
    def create_for_images(cls, are_black_and_white: bool, **given: Any) -> "Config":
        """Joins explicit settings with the preset that suits the images, if none is given.

        Args:
            are_black_and_white: whether they are, or nearly so; else they have grey levels.
            **given: values of any fields.

        Raises:
            UserError: as `create` does.
        """
        given = {**preset_of_family(given), **given}
        are_made_so = given.get("binarize", "none") != "none"
        preset = DEFAULT_PRESET if are_black_and_white or are_made_so else PHOTO_PRESET
        return cls.create(**{"preset": preset, **given})

    def has(self, name: str) -> bool:
        """Whether a setting is one of this family of models."""
        field = next(field for field in dataclasses.fields(self) if field.name == name)
        return field.metadata["family"] in (None, self.model)

    def check_family(self, names: Iterable[str]) -> None:
        """Refuses settings that belong to another family of models.

        Raises:
            UserError: naming the first one.
        """
        for field in dataclasses.fields(self):
            if field.name in names and not self.has(field.name):
                raise UserError(
                    f"--{field.name} is a setting of --model={field.metadata['family']}; this is "
                    f"--model={self.model}."
                )

    def extended(self, given: dict[str, Any]) -> "Config":
        """Checks settings against those of this run, which may only get more epochs.

        Its images may be elsewhere now; whether they are the same must be looked at.

        Args:
            given: the settings that were asked for.

        Returns:
            This configuration, or one with more epochs, or another `data_path`.

        Raises:
            UserError: if a setting is another, or fewer epochs are asked for.
        """
        fields = {field.name: field for field in dataclasses.fields(self)}
        given = {name: settings.plain(fields[name], value) for name, value in given.items()}
        self.check_family(given)
        for name, value in given.items():
            own = getattr(self, name)
            may_be = (name == "epochs" and value > own) or (name == "data_path" and value)
            if value != own and not may_be:
                raise UserError(f"--{name}={value} contradicts --{name}={own} of the run.")
        changed = {name: given[name] for name in ("epochs", "data_path") if name in given}
        return dataclasses.replace(self, **changed)

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

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as a dictionary of plain values, in their order here."""
        return dataclasses.asdict(self)
