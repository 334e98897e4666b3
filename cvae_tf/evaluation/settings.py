"""The settings of `evaluate.py`."""

import dataclasses
from pathlib import Path

from cvae_tf.core import settings
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import setting
from cvae_tf.data.pictures import ImageSettings
from cvae_tf.presets import MOST_REFINE_STEPS, REFINE_STEPS

AUTO = "auto"
_IF_EXACT, _IF_NOT_EXACT = "1,10", "1,10,100,1000,5000"  # numbers of importance samples
FEATURES = ("classifier", "random")
MEASURES = ("likelihood", "distance")
_OF_LIKELIHOOD = (  # only it uses them; drawn images are compared with the model's own
    "samples", "refine", "importance_samples", "classify", "batch_size", "images", "invert",
)  # fmt: skip
_OF_MEASURE = {**dict.fromkeys(_OF_LIKELIHOOD, "likelihood"), "features": "distance"}


def check_output(path: Path) -> None:
    """Raises a UserError if a file for the numbers cannot have this place or name."""
    if path.suffix != ".json":
        raise UserError(f"--output={path}: must end in .json.")
    if path.is_dir():
        raise UserError(f"--output={path}: is a directory.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings(ImageSettings):
    """Settings of an evaluation."""

    measures: str = setting(
        "likelihood; distance: Frechet distance, precision and recall of drawn images; or auto: "
        "what the model can.", AUTO, choices=(AUTO, *MEASURES),
    )  # fmt: skip
    features: str = setting(
        "In which images are compared: of a classifier, which is trained once for a data set with "
        "labels, or of a random network; auto: the first that can be had.",
        AUTO,
        choices=(AUTO, *FEATURES),
    )
    samples: int = setting("Posterior samples of each image for the ELBO.", 10, least=1, most=10**6)
    refine: int | None = setting(
        "Gauss-Newton steps from the encoder's posterior to a better one; 0: none. By default "
        f"{REFINE_STEPS} where log p(x) is known exactly, else none.",
        None, least=0, most=MOST_REFINE_STEPS,
    )  # fmt: skip
    importance_samples: str = setting(
        "Numbers of samples for the importance-weighted bounds, such as 1,10,100; auto: up to 10 "
        "where log p(x) is known exactly, else to 5000.",
        AUTO,
    )
    classify: bool = setting(
        "Also measure every image under every class: a conditional model as a classifier.", False
    )
    batch_size: int = setting(
        "Images, and latents, that are worked on at once.", 1000, least=1, most=10**6
    )
    seed: int = setting(
        "The same seed gives the same numbers on the same machine.",
        0, least=0, most=settings.LARGEST_SEED,
    )  # fmt: skip

    def __post_init__(self):
        """Raises a UserError that names the first setting that is out of its range."""
        settings.check(self)
        if self.importance_samples == AUTO:
            return
        parts = self.importance_samples.split(",")
        if not all(part.isdecimal() and 1 <= int(part) <= 10**7 for part in parts):
            raise UserError(
                f"--importance_samples={self.importance_samples}: must be whole numbers from 1, "
                f"such as 1,10,100; or {AUTO}."
            )

    def chosen_measures(self, possible: tuple[str, ...], title: str) -> tuple[str, ...]:
        """What to measure of a model with this title: one measure, or all possible ones.

        Raises:
            UserError: if the model does not allow it, or settings would have no effect.
        """
        asked = self.measures
        if asked == AUTO and "likelihood" in possible and self.names_images:
            asked = "likelihood"  # drawn images are compared only with the model's own
        measures = possible if asked == AUTO else (asked,)
        if not measures or not set(measures) <= set(possible):
            what = "likelihood" if asked == AUTO else asked
            instead = f"; it has --measures={possible[0]}" if possible else ""
            raise UserError(f"This model ({title}) has no {what} to evaluate{instead}.")
        usual = EvaluationSettings()
        for name, of in _OF_MEASURE.items():
            if of not in measures and getattr(self, name) != getattr(usual, name):
                raise UserError(
                    f"--{name} is for --measures={of} alone; here {measures[0]} is measured."
                )
        return measures

    def sizes(self, is_exact: bool) -> list[int]:
        """The numbers of importance samples, rising; `is_exact`: if log p(x) is integrated too."""
        usual = _IF_EXACT if is_exact else _IF_NOT_EXACT
        asked = usual if self.importance_samples == AUTO else self.importance_samples
        return sorted({int(part) for part in asked.split(",")})
