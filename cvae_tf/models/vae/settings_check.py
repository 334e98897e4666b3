"""Which settings of a VAE fit together; the standard library is enough to know."""

from typing import Any

from cvae_tf import registry
from cvae_tf.core.errors import UserError
from cvae_tf.presets import MOST_COVERED, SHARED_LATENTS

_LARGEST_MIXTURE = 1024  # latent dimensions, of which each Gaussian has a full covariance


def check(config: Any, image_shape: tuple[int, int, int] | None = None) -> None:
    """Refuses settings that contradict each other.

    Args:
        config: a `Config`.
        image_shape: height, width and channels of the images, once they are known.

    Raises:
        UserError: if the likelihood is not one of such pixels, or the number of importance samples
            does not fit the objective, or colours would be thresholded.
    """
    if config.sampler == "mixture" and config.latent_dim > _LARGEST_MIXTURE:
        raise UserError(
            f"--sampler=mixture: is for at most {_LARGEST_MIXTURE} latent dimensions, not "
            f"{config.latent_dim}; give --sampler=prior."
        )
    if image_shape and image_shape[-1] > 1 and config.binarize == "threshold":
        raise UserError(
            "--binarize=threshold: the images have colours, which would be lost; give "
            "--binarize=none, or leave out --preset and --binarize."
        )
    if registry.LIKELIHOODS[config.likelihood].takes_grey and config.binarize != "none":
        raise UserError(
            f"--likelihood={config.likelihood} is one of grey levels; give --binarize=none."
        )
    _check_objective(config)


def _check_objective(config: Any) -> None:
    """Refuses samples that the objective does not take, or what else it cannot do."""
    name, samples = config.objective, config.importance_samples
    if (name == "iwae") != (samples > 1):
        raise UserError(
            f"--importance_samples={samples} with --objective={name}: iwae needs at least 2, and "
            "the others take 1."
        )
    if name == "shared":
        _check_shared(config)
    elif config.shared_latents != SHARED_LATENTS:
        raise UserError(
            f"--shared_latents={config.shared_latents} does nothing with --objective={name}; it "
            "is for shared."
        )


def _check_shared(config: Any) -> None:
    """Refuses what latents that all images share cannot do, or only in a very long time."""
    if config.latent_dim > MOST_COVERED:
        raise UserError(
            f"--objective=shared: its latents cover {MOST_COVERED} dimensions, not "
            f"{config.latent_dim}; give another objective, such as --objective=elbo."
        )
    if registry.LIKELIHOODS[config.likelihood].is_of_levels:
        raise UserError(
            f"--likelihood={config.likelihood} with --objective=shared: would compare all "
            "pixels of all images with all latents; give another likelihood, or --objective=elbo."
        )
