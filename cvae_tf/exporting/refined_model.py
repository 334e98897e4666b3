"""An exported model whose posteriors are refined, for all that works with an exported model."""

import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.exporting.loaded_model import LoadedModel
from cvae_tf.models.measures import Measure
from cvae_tf.models.vae.posterior import FullPosterior

_REFINED = {"reconstruct": "reconstruct_refined", "score": "score_refined"}  # by signature


class RefinedModel(LoadedModel):
    """Encodes, reconstructs and scores by refined posteriors; else the same model."""

    def __init__(self, model: LoadedModel, steps: int):
        """Takes a model, and the steps of Gauss and Newton for each image.

        Raises:
            UserError: if it was exported without them.
        """
        if "refine" not in model.abilities:
            raise UserError(
                "--refine: this model cannot refine; it has no encoder, or was made by an older "
                "version (then export its run again)."
            )
        super().__init__(model.functions, model.metadata)
        self.unrefined, self._steps = model, steps

    def encode(self, images: np.ndarray, labels: np.ndarray | None = None) -> FullPosterior:
        """Finds the refined posteriors of images [N, H, W, C] in [0, 1]."""
        return self.infer(images, self._steps, labels)

    @property
    def main_score(self) -> Measure:
        """The score that images are sorted by, under its refined name."""
        score = super().main_score
        return score._replace(title=f"refined {score.title}")

    def _in_parts(
        self,
        signature: str,
        batch: np.ndarray,
        labels: np.ndarray | None,
        key: tf.Tensor | None = None,
        steps: int | None = None,
    ) -> dict[str, np.ndarray]:
        if signature in _REFINED:
            signature, steps = _REFINED[signature], self._steps
        return super()._in_parts(signature, batch, labels, key, steps)
