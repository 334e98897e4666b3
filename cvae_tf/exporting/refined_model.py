"""An exported model whose posteriors are refined, for all that works with an exported model."""

import numpy as np

from cvae_tf.core import amounts
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting.checked_inputs import to_whole
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.models.measures import Measure
from cvae_tf.models.vae.posterior import FullPosterior


class RefinedModel(LoadedModel):
    """Encodes, reconstructs and scores by refined posteriors; else the same model."""

    _signature_of_p_values = "p_values_refined"

    def __init__(self, model: LoadedModel, steps: int):
        """Takes a model, and the Gauss-Newton steps for each image.

        Raises:
            UserError: if the model cannot be refined, or not by so many steps.
        """
        if "refine" not in model.abilities:
            raise UserError(amounts.CANNOT_REFINE)
        super().__init__(model.functions, model.metadata)
        self.unrefined, self._steps = model, to_whole(steps, "steps", 0, amounts.MOST_STEPS)

    def encode(self, images: np.ndarray, labels: np.ndarray | None = None) -> FullPosterior:
        """Finds the refined posteriors of images [N, H, W, C] in [0, 1]."""
        return self.infer(images, self._steps, labels)

    def reconstruct(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Decodes the refined means of images [N, H, W, C] in [0, 1]."""
        grey, numbers = self._grey(images), {"steps": self._steps}
        return self._in_parts("reconstruct_refined", labels, None, numbers, images=grey)["images"]

    def _mean_scores(
        self, grey: np.ndarray, seed: int, num_samples: int, labels: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Averages scores over samples of the refined posterior of each image."""
        key = derived_key(seed, Purpose.SCORES)
        numbers = {"steps": self._steps, "samples": num_samples}
        return self._in_parts("score_refined", labels, key, numbers, images=grey)

    def p_values(self, scores: np.ndarray) -> np.ndarray | None:
        """As of any model; held-out scores are known for the usual number of steps alone."""
        if self._steps != amounts.STEPS:
            return None
        return super().p_values(scores)

    @property
    def main_score(self) -> Measure:
        """The score that images are sorted by, under its refined name."""
        score = super().main_score
        return score._replace(title=f"refined {score.title}")


class RegretModel(RefinedModel):
    """Scores by the ELBO of the encoder's posteriors minus that of refined ones.

    It is minus the likelihood regret (Xiao et al., "Likelihood regret", 2020, equation 4): images
    that the encoder does not know gain most by a search of their own. If pixels are drawn, the two
    are of different draws.
    """

    _signature_of_p_values = "p_values_regret"

    def _mean_scores(
        self, grey: np.ndarray, seed: int, num_samples: int, labels: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Subtracts what each image scores by its refined posterior from what it does without."""
        refined = super()._mean_scores(grey, seed, num_samples, labels)
        own = self.unrefined.mean_scores(grey, seed, num_samples, labels)
        return {name: values - refined[name] for name, values in own.items()}

    @property
    def main_score(self) -> Measure:
        """The score that images are sorted by, under its own name."""
        score = self.unrefined.main_score
        return score._replace(title=f"{score.title} minus refined {score.title}")
