"""Which settings of a VAE fit together; the standard library is enough to know."""

from typing import Any

from cvae_tf import registry
from cvae_tf.core.errors import UserError


def check(config: Any) -> None:
    """Refuses settings that contradict each other.

    Args:
        config: a `Config`.

    Raises:
        UserError: if the likelihood is not one of such pixels, or the number of importance samples
            does not fit the objective.
    """
    if registry.LIKELIHOODS[config.likelihood].is_density and config.binarize != "none":
        raise UserError(
            f"--likelihood={config.likelihood} is a density of grey levels; give --binarize=none."
        )
    if (config.objective == "iwae") != (config.importance_samples > 1):
        raise UserError(
            f"--importance_samples={config.importance_samples} with --objective="
            f"{config.objective}: iwae needs at least 2, and the others take 1."
        )
