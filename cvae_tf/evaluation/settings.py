"""What `evaluate.py` can be asked for."""

import dataclasses
from pathlib import Path

from cvae_tf.core import settings
from cvae_tf.core.errors import UserError
from cvae_tf.core.settings import setting
from cvae_tf.data.settings import ImageSettings
from cvae_tf.presets import CANNOT_REFINE, MOST_REFINE_STEPS, REFINE_STEPS

AUTO = "auto"
_IF_EXACT, _IF_NOT_EXACT = "1,10", "1,10,100,1000,5000"  # numbers of importance samples
FEATURES = ("classifier", "random")
MEASURES = ("likelihood", "distance")
_OF_LIKELIHOOD = ("samples", "refine", "importance_samples", "classify", "batch_size")
_OF_IMAGES = ("data_path", "invert")  # drawn ones are compared with the model's own
OF_MEASURE = {  # settings that only one of them looks at
    **dict.fromkeys((*_OF_LIKELIHOOD, *_OF_IMAGES), "likelihood"),
    "features": "distance",
}


def check_output_name(output: str | Path) -> None:
    """Raises a UserError if a file for the numbers is to have a name that is not that of JSON."""
    if Path(output).suffix != ".json":
        raise UserError(f"--output={output}: must end in .json.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings(ImageSettings):
    """Settings of an evaluation."""

    measures: str = setting(
        "likelihood; distance: Frechet distance, precision and recall of drawn images; or auto: "
        "what the model can.", "auto", choices=("auto", *MEASURES),
    )  # fmt: skip
    features: str = setting(
        "In which images are compared: of a classifier, which is trained once for a data set with "
        "labels, or of a random network; auto: the first that can be had.",
        "auto",
        choices=("auto", *FEATURES),
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
        """Refuses values that make no sense.

        Raises:
            UserError: naming the first setting that is out of its range.
        """
        settings.check(self)
        if self.importance_samples == AUTO:
            return
        parts = self.importance_samples.split(",")
        if not all(part.isdecimal() and 1 <= int(part) <= 10**7 for part in parts):
            raise UserError(
                f"--importance_samples={self.importance_samples}: must be whole numbers from 1, "
                f"such as 1,10,100; or {AUTO}."
            )

    def steps_of_refinement(self, can_refine: bool, is_exact: bool) -> int:
        """The Gauss-Newton steps for each image.

        Args:
            can_refine: whether the model can do it.
            is_exact: whether log p(x) is integrated, to which the refined ELBO is compared.

        Raises:
            UserError: if it was asked for and cannot be.
        """
        if self.refine and not can_refine:
            raise UserError(f"--refine={self.refine}: {CANNOT_REFINE}")
        if self.refine is not None:
            return self.refine
        return REFINE_STEPS if can_refine and is_exact else 0

    def sizes(self, is_exact: bool) -> list[int]:
        """The numbers of importance samples, rising.

        Args:
            is_exact: whether log p(x) is integrated too.
        """
        usual = _IF_EXACT if is_exact else _IF_NOT_EXACT
        asked = usual if self.importance_samples == AUTO else self.importance_samples
        return sorted({int(part) for part in asked.split(",")})
