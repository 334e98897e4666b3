"""How usual images are to a model: what they are sorted by, the usual ones high, and p-values."""

from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.models.base import GenerativeModel, Measure


class Scores(NamedTuple):
    """What is known of N images."""

    values: np.ndarray  # [N]
    measure: Measure
    p_values: np.ndarray | None  # [N], of relative scores


def scores_of(
    model: GenerativeModel, images: Any, labels: Any = None, kind: str | None = None
) -> Scores:
    """Scores images [N, H, W, C].

    Args:
        model: a trained one.
        images: as `encode` takes them.
        labels: of a conditional model.
        kind: "relative", which is `anomaly`; "elbo", its main score, each the mean over some
            posterior samples; by default the first, or the second of a model without it.

    Returns:
        The scores, what they are called, and how usual each is.

    Raises:
        UserError: if the model does not know such scores.
    """
    main = model.main_score
    if kind and "elbo" not in main.name:
        raise UserError(f"--score={kind}: this model's score is its {main.title}.")
    if kind == "elbo" or (kind is None and "anomaly" not in model.abilities):
        return Scores(model.mean_scores(images, labels=labels)[main.name], main, None)
    if "anomaly" not in model.abilities:
        raise UserError(
            "--score=relative: this model knows no scores of usual images; a VAE does once its run "
            "is finished (train.py --resume)."
        )
    found = model.anomaly(images, labels)
    return Scores(found.score, main._replace(title=f"relative {main.title}"), found.p_value)
