"""How usual images are to a model: scores of four kinds, the usual images high, and p-values.

elbo: of the encoder's posteriors. refined: of posteriors that were refined by Gauss-Newton steps.
regret: the first minus the second, minus the likelihood regret (Xiao et al., "Likelihood regret",
2020, equation 4): images that the encoder does not know gain most by a search of their own; if
pixels are drawn, the two are of different draws. relative: the first less that of usual images that
are, or are reconstructed, as complex (`models/vae/held_out_scores.py`).
"""

from typing import Any, NamedTuple

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.arrays import SCORE_SAMPLES, in_parts
from cvae_tf.models.base import GenerativeModel, Measure
from cvae_tf.models.checked_inputs import to_images
from cvae_tf.presets import CANNOT_REFINE, REFINE_STEPS

_REFINED = ("refined", "regret")
_TITLES = {
    "elbo": "{0}",
    "relative": "relative {0}",
    "refined": "refined {0}",
    "regret": "{0} minus refined {0}",
}


class Scores(NamedTuple):
    """What is known of N images."""

    values: np.ndarray  # [N]
    measure: Measure
    p_values: np.ndarray | None  # [N], if the model knows scores of usual images


def most_telling(model: GenerativeModel) -> str:
    """The kind of score that tells unusual images best, of those that need no refining."""
    return "relative" if "score_relative" in model.abilities else "elbo"


def scores_of(
    model: GenerativeModel,
    images: Any,
    kind: str,
    seed: int = 0,
    labels: Any = None,
    steps: int = REFINE_STEPS,
) -> Scores:
    """Scores images [N, H, W, C], each by the mean over some posterior samples.

    Args:
        model: a trained one.
        images: as `encode` takes them.
        kind: "elbo", "relative", "refined" or "regret".
        seed: the same seed gives the same scores.
        labels: of a conditional model.
        steps: of Gauss and Newton, if they are refined.

    Returns:
        The scores, what they are called, and how usual each is.

    Raises:
        UserError: if the model does not know such scores.
    """
    main = model.main_score
    measure = main._replace(title=_TITLES[kind].format(main.title))
    if kind == "relative" and "score_relative" not in model.abilities:
        raise UserError(
            "--score=relative: this model knows no scores of usual images: it is no VAE, its "
            "run was not finished, or is older (train.py --resume then adds them)."
        )
    values = 0
    if kind != "refined":
        values = model.mean_scores(images, seed, labels=labels)[main.name]
    if kind in _REFINED:
        refined = refined_scores(model, images, seed, labels, steps)[main.name]
        values = values - refined if kind == "regret" else refined
    elif kind == "relative":
        of_each = {"images": to_images(images, model.image_shape), "scores": np.float32(values)}
        values = in_parts(model, "score_relative", labels, **of_each)["scores"]
    return Scores(values, measure, p_values(model, values, kind, steps))


def refined_scores(
    model: GenerativeModel,
    images: Any,
    seed: int = 0,
    labels: Any = None,
    steps: int = REFINE_STEPS,
    num_samples: int = SCORE_SAMPLES,
) -> dict[str, np.ndarray]:
    """Averages the scores of images over samples of refined posteriors, as `mean_scores` does.

    Raises:
        UserError: if the model cannot refine.
    """
    if "score_refined" not in model.abilities:
        raise UserError(CANNOT_REFINE)
    key, grey = derived_key(seed, Purpose.SCORES), to_images(images, model.image_shape)
    numbers = {"steps": steps, "samples": num_samples}
    return in_parts(model, "score_refined", labels, key, numbers, images=grey)


def p_values(
    model: GenerativeModel, scores: Any, kind: str, steps: int = REFINE_STEPS
) -> np.ndarray | None:
    """The share of usual images with such scores or lower; see `GenerativeModel.p_values`.

    None if the model knows no scores of usual images, of this kind and by so many steps.
    """
    if kind in _REFINED and steps != REFINE_STEPS:
        return None
    return model.p_values(scores, kind)
