"""An exported model whose scores are compared with those of usual images as complex."""

import numpy as np

from cvae_tf.core.errors import UserError
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.models.measures import Measure


class RelativeModel(LoadedModel):
    """Scores by the ELBO less that of usual images that are, or are reconstructed, as complex.

    See `models/vae/complexity.py`.
    """

    _signature_of_p_values = "p_values_relative"

    def __init__(self, model: LoadedModel):
        """Takes a model.

        Raises:
            UserError: if the model knows no usual images.
        """
        if not knows_relative(model):
            raise UserError(
                "--score=relative: this model knows no scores of usual images: it is no VAE, its "
                "run was not finished, or is older (train.py --resume then adds them)."
            )
        super().__init__(model.functions, model.metadata)

    def _mean_scores(
        self, grey: np.ndarray, seed: int, num_samples: int, labels: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """The scores of the model; of the main one only what it has more than is to be expected."""
        found = super()._mean_scores(grey, seed, num_samples, labels)
        main = self.main_score.name
        scores = found[main].astype(np.float32)
        relative = self._in_parts("score_relative", labels, images=grey, scores=scores)
        return {**found, main: relative["scores"]}

    @property
    def main_score(self) -> Measure:
        """The score that images are sorted by, under its own name."""
        score = super().main_score
        return score._replace(title=f"relative {score.title}")


def knows_relative(model: LoadedModel) -> bool:
    """Whether a model knows scores of usual images, to compare others with."""
    return "score_relative" in model.abilities


def most_telling(model: LoadedModel) -> LoadedModel:
    """The model, with scores that tell unusual images best: relative ones, if it knows them."""
    return RelativeModel(model) if knows_relative(model) else model
