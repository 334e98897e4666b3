"""Which settings of a run fit together: all checks across settings, and for the images.

What is known about a name is on the object in an open table; these need TensorFlow.
"""

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import find
from cvae_tf.core.tensorflow_setup import quiet_import
from cvae_tf.presets import DEFAULT_PRESET, MOST_COVERED, PRESETS, SHARED_LATENTS

USUAL_FAMILY = "vae"
_MOST_UNITS = 10**5  # of a dense layer
_OF_SOME_NETWORKS = ("hidden", "activation", "dropout")
_LARGEST_MIXTURE = 1024  # latent dimensions; each Gaussian has a full covariance
_OPTIMIZERS_OF_GANS = ("adam", "adamw", "adamax")  # which have beta1, also 0, and beta2
MANY_IMAGES = 20_000  # for training; so many a GAN does not learn by heart in an hour


def open_tables() -> dict[str, Mapping[str, Any]]:
    """The open tables, by the name of the setting; needs TensorFlow."""
    with quiet_import():
        from cvae_tf.data.loading import DATASETS
        from cvae_tf.models import FAMILIES
        from cvae_tf.models.gan.losses import GAN_LOSSES
        from cvae_tf.models.networks import GAN_NETWORKS, NETWORKS
        from cvae_tf.models.optimizers import OPTIMIZERS
        from cvae_tf.models.vae.likelihoods import BINARIZATIONS, LIKELIHOODS
    return {
        "model": FAMILIES,
        "dataset": DATASETS,
        "network": {**NETWORKS, **GAN_NETWORKS},
        "binarize": BINARIZATIONS,
        "likelihood": LIKELIHOODS,
        "gan_loss": GAN_LOSSES,
        "optimizer": OPTIMIZERS,
    }


def family(name: str) -> Any:
    """The object of a family of models."""
    return find("model", open_tables()["model"], name)


def check_names(fields: Iterable[dataclasses.Field], values: Mapping[str, Any]) -> None:
    """Refuses a name that no open table has.

    To add a name you must import its table. Until then `config.py` has all names, and a mistake is
    reported at once, without TensorFlow.

    Args:
        fields: of a configuration.
        values: of some of them.
    """
    for field in (field for field in fields if field.metadata["are_open"]):
        name, known = values.get(field.name), field.metadata["choices"]
        is_of_tfds = field.name == "dataset" and str(name).removeprefix("tfds:") not in (name, "")
        if isinstance(name, str) and name not in known and not is_of_tfds:
            others = dict.fromkeys(known)
            others |= open_tables()[field.name] if "tensorflow" in sys.modules else {}
            find(field.name, others, name)


def check_network(config: Any) -> None:
    """Refuses settings that the network, or the family of the model, does not have."""
    if config.hidden is not None:
        _check_hidden(config.hidden)
    known = family(config.model)
    if config.conditional and "labels" not in known.takes:
        raise UserError(f"--conditional: --model={config.model} knows no labels.")
    if config.network not in known.network_table:
        raise UserError(
            f"--network={config.network} is not for --model={config.model}; for it there are "
            f"{', '.join(known.network_table)}."
        )
    for name in (each for each in _OF_SOME_NETWORKS if getattr(config, each) not in (None, 0)):
        if "network settings" not in known.takes:
            raise UserError(f"--{name} does nothing with --model={config.model}.")
        if name not in _settings_of(known, config.network):
            users = [each for each in known.network_table if name in _settings_of(known, each)]
            raise UserError(
                f"--{name} does nothing with --network={config.network}; it is for "
                f"{', '.join(users)}."
            )


def _settings_of(known: Any, network: str) -> tuple[str, ...]:
    """The settings that a network of a family has besides those of all."""
    return getattr(known.network_table[network], "settings", ())


def _check_hidden(hidden: str) -> None:
    parts = hidden.split(",")
    if not all(part.isdecimal() and 1 <= int(part) <= _MOST_UNITS for part in parts):
        raise UserError(
            f"--hidden={hidden}: must be numbers of units from 1 to {_MOST_UNITS}, such as 512,256."
        )


def preset_of(model: str) -> str | None:
    """The first preset of a family, if it has any of its own."""
    return next((name for name, each in PRESETS.items() if each.get("model") == model), None)


def check_preset(preset: str, model: str) -> None:
    """Refuses a preset of another family."""
    own = PRESETS[preset].get("model", USUAL_FAMILY)
    fitting = preset_of(model)
    if model != own and (fitting or own != USUAL_FAMILY):
        raise UserError(
            f"--preset={preset} is one of --model={own}; for --model={model} there is "
            f"--preset={fitting or DEFAULT_PRESET}."
        )


def without_what_gives_way(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Leaves out settings of a preset that do not fit those asked for.

    Settings of its network go with the network. Its objective, `shared`, gives way where it is
    impossible or was not tried: more latents would need too many points to cover the prior;
    256 grey levels would take very long; classes would divide the latents.
    """
    gone = []
    known, network = family(values["model"]), given.get("network")
    if isinstance(network, str) and network in known.network_table:
        gone = [name for name in _OF_SOME_NETWORKS if name not in _settings_of(known, network)]
    if values["objective"] == "shared" and _unfit_for_shared(values):
        gone.append("objective")
    return {name: value for name, value in values.items() if name not in gone or name in given}


def check_vae(config: Any) -> None:
    """Refuses settings of a VAE that contradict each other."""
    likelihood = open_tables()["likelihood"][config.likelihood]
    if config.sampler == "mixture" and config.latent_dim > _LARGEST_MIXTURE:
        raise UserError(
            f"--sampler=mixture: is for at most {_LARGEST_MIXTURE} latent dimensions, not "
            f"{config.latent_dim}; give --sampler=prior."
        )
    if likelihood.takes_grey and config.binarize != "none":
        raise UserError(
            f"--likelihood={config.likelihood} is one of grey levels; give --binarize=none."
        )
    name, samples = config.objective, config.importance_samples
    if (name == "iwae") != (samples > 1):
        raise UserError(
            f"--importance_samples={samples} with --objective={name}: iwae needs at least 2, and "
            "the others take 1."
        )
    unfit = _unfit_for_shared(vars(config))
    if name == "shared" and unfit:
        raise UserError(
            f"--objective=shared is not for {unfit}; give another objective, such as "
            "--objective=elbo."
        )
    if name != "shared" and config.shared_latents != SHARED_LATENTS:
        raise UserError(
            f"--shared_latents={config.shared_latents} does nothing with --objective={name}; it "
            "is for shared."
        )


def _unfit_for_shared(values: Mapping[str, Any]) -> str | None:
    """The setting, if any, that does not allow the objective `shared`."""
    if values["latent_dim"] not in range(MOST_COVERED + 1):
        return f"--latent_dim={values['latent_dim']}, more than {MOST_COVERED}"
    if values["conditional"]:
        return "--conditional"
    name = values["likelihood"]
    is_of_levels = getattr(open_tables()["likelihood"].get(name), "is_of_levels", False)
    return f"--likelihood={name}" if is_of_levels else None


def check_pixels(config: Any, images: Any) -> None:
    """Refuses a threshold at which colours or nearly all images would be lost."""
    if config.binarize != "threshold":
        return
    if images.shape[-1] > 1:
        raise UserError(
            "--binarize=threshold: the images have colours, which would be lost; give "
            "--binarize=none, or leave out --preset and --binarize."
        )
    if images.vanish_at_threshold:
        raise UserError(
            f"--binarize=threshold (of --preset={config.preset}) would make nearly all images "
            f"blank or the same: {images.levels}. Leave out both, or give --binarize=none."
        )


def check_gan(config: Any) -> None:
    """Refuses settings of a GAN that contradict each other."""
    if config.optimizer not in _OPTIMIZERS_OF_GANS:
        raise UserError(
            f"--optimizer={config.optimizer}: a GAN needs --beta1 and --beta2; choose from "
            f"{', '.join(_OPTIMIZERS_OF_GANS)}."
        )
    if config.gan_loss == "wgan_gp" and config.r1:
        raise UserError(
            f"--gan_loss=wgan_gp has a gradient penalty of its own, and knows no other "
            f"(--r1={config.r1:g}, by a flag or the preset); give --r1=0."
        )
    if config.spectral_norm and config.precision != "float32":
        raise UserError(
            f"--spectral_norm with --precision={config.precision}: norms are divided out of the "
            "weights themselves, which would be rounded; leave out one of the two."
        )
    from cvae_tf.models.gan.losses import KINDS, kinds_of

    unknown = [kind for kind in kinds_of(config.diff_augment) if kind not in KINDS]
    if unknown:
        raise UserError(
            f"--diff_augment={config.diff_augment}: {unknown[0]!r} is unknown; choose from "
            f"{', '.join(KINDS)}, none, auto."
        )


def changes_for(config: Any, images: Any) -> str:
    """Which changes of images a GAN is trained with; the images decide on "auto".

    Few images are shifted, so that they are not learned by heart; for many that only costs time.
    """
    has_colours = images.shape[-1] == 3
    if "colour" in config.diff_augment.split(",") and not has_colours:
        raise UserError(f"--diff_augment={config.diff_augment}: the images have no colours.")
    if config.diff_augment != "auto":
        return config.diff_augment
    kinds = ["mirror"] * has_colours + ["translation"] * (images.num < MANY_IMAGES)
    return ",".join(kinds) or "none"
