"""An exported model in use: NumPy in and out, in parts of bounded size, by TensorFlow alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from cvae_tf.core import amounts
from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.exporting.checked_inputs import (
    LARGEST_INT32,
    SMALLEST_INT32,
    to_images,
    to_key,
    to_labels,
    to_latents,
    to_scores,
    to_whole,
)
from cvae_tf.models.measures import Measure
from cvae_tf.models.vae.posterior import FullPosterior, Posterior

_KNOWS_NO_LABELS = "This model knows no labels; train one with --conditional."
_AT_ONCE = 256  # images or latents in one call: enough for full speed, and little memory


class LoadedModel:
    """A SavedModel of this project, for arrays of any length.

    All that is given is checked first; what does not fit is refused with a UserError of one line.
    """

    _signature_of_p_values = "p_values"

    def __init__(self, functions: Any, metadata: dict[str, Any]):
        """Takes what `tf.saved_model.load` returns, and the contents of `model.json`."""
        self.functions = functions
        self.metadata = metadata
        self.abilities = tuple(functions.signatures)  # the names of its signatures
        self.latent_dim = _arguments(functions, "decode")["latents"].shape[1]
        outputs = functions.signatures["decode"].structured_outputs
        self.image_shape = tuple(outputs["images"].shape[1:])  # height, width, channels
        self.is_conditional = "labels" in _arguments(functions, "decode")
        self.class_names: tuple[str, ...] = ()  # of the labels of a conditional model, [Y]
        if self.is_conditional:
            self.class_names = tuple(metadata.get("data", {}).get("class_names", ()))

    # Of a conditional model, `labels` are numbers of classes, int [N], or one for all images.

    def sample(self, num: int, seed: int = 0, labels: np.ndarray | int | None = None) -> np.ndarray:
        """Draws images from the model.

        Args:
            num: number of images; they are all in memory at once, unlike in `sample_in_parts`.
            seed: the same seed gives the same images.
            labels: of a conditional model; by default all classes in turn.

        Returns:
            float32 [num, H, W, C] in [0, 1]; of black-and-white pixels the probabilities of white.
        """
        parts = list(self.sample_in_parts(num, seed, labels))
        return np.concatenate(parts) if parts else np.empty((0, *self.image_shape), np.float32)

    def sample_in_parts(
        self, num: int, seed: int = 0, labels: np.ndarray | int | None = None
    ) -> Iterator[np.ndarray]:
        """Yields what `sample` returns, some images at a time."""
        num, key = _checked_number(num), derived_key(_checked_seed(seed), Purpose.SAMPLES)
        if labels is None and self.is_conditional:
            labels = self.labels_in_turn(num)
        of_each = self._checked(labels, num)
        latents = self.sample_latents(num, key).numpy()
        for start in range(0, num, _AT_ONCE):
            own = slice(start, start + _AT_ONCE)
            yield self.decode(latents[own], **{name: each[own] for name, each in of_each.items()})

    def sample_latents(self, num: int, key: tf.Tensor) -> tf.Tensor:
        """Draws latents [num, Z] of which images are drawn, by a key, int32 [2]."""
        num, key = _checked_number(num), tf.constant(to_key(key))
        if "sample_latents" in self.abilities:
            return self._call("sample_latents", num=tf.constant(num), seed=key)["latents"]
        return tf.random.stateless_normal([num, self.latent_dim], key)

    def labels_in_turn(self, num: int) -> np.ndarray:
        """All classes one after the other, again and again, int32 [num]."""
        if not self.is_conditional:
            raise UserError(_KNOWS_NO_LABELS)
        return np.arange(_checked_number(num), dtype=np.int32) % len(self.class_names)

    def decode(self, latents: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Draws the images [N, H, W, C] in [0, 1] of latents [N, Z]."""
        latents = to_latents(latents, self.latent_dim)
        return self._in_parts("decode", labels, latents=latents)["images"]

    def encode(self, images: np.ndarray, labels: np.ndarray | None = None) -> Posterior:
        """Finds the posteriors of images [N, H, W, C] in [0, 1].

        Whole numbers from 0 to 255 and bool are taken too. A model without noise gives means alone,
        and None for their `logvar`.
        """
        found = self._in_parts("encode", labels, images=self._grey(images))
        return Posterior(found["mean"], found.get("logvar"))

    def reconstruct(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Decodes the posterior means of images [N, H, W, C] in [0, 1]."""
        return self._in_parts("reconstruct", labels, images=self._grey(images))["images"]

    def infer(
        self,
        images: np.ndarray,
        steps: int = amounts.STEPS,
        labels: np.ndarray | None = None,
    ) -> FullPosterior:
        """Finds better posteriors than the encoder's, by Gauss-Newton steps.

        Args:
            images: as for `encode`.
            steps: how many of them for each image.
            labels: of a conditional model.

        Returns:
            Gaussians with full covariance.

        Raises:
            UserError: if the model cannot do it.
        """
        if "refine" not in self.abilities:
            raise UserError(amounts.CANNOT_REFINE)
        numbers = {"steps": to_whole(steps, "steps", 0, amounts.MOST_STEPS)}
        found = self._in_parts("refine", labels, None, numbers, images=self._grey(images))
        return FullPosterior(found["mean"], found["factor"])

    def score(
        self, images: np.ndarray, seed: int = 0, labels: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Scores images [N, H, W, C] in [0, 1].

        Args:
            images: any number of them.
            seed: the same seed gives the same scores.
            labels: of a conditional model, whose scores are those under these classes.

        Returns:
            By name, a number for each image, [N]. A VAE gives "elbo", "log_likelihood" and "kl" by
            one posterior sample of each image, in nats; `main_score` is the one to sort by.
        """
        return self.mean_scores(images, seed, num_samples=1, labels=labels)

    def mean_scores(
        self,
        images: np.ndarray,
        seed: int = 0,
        num_samples: int = amounts.SCORE_SAMPLES,
        labels: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Averages `score` over several posterior samples of each image."""
        num_samples = to_whole(num_samples, "num_samples", 1, LARGEST_INT32)
        return self._mean_scores(self._grey(images), _checked_seed(seed), num_samples, labels)

    def _mean_scores(
        self, grey: np.ndarray, seed: int, num_samples: int, labels: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """The same for float32 images of the right size; subclasses score in their own way here."""
        self._check_ability("score")
        if "seed" not in _arguments(self.functions, "score"):  # there is no chance in it
            return self._in_parts("score", labels, images=grey)
        keys = (derived_key(seed, Purpose.SCORES, i) for i in range(num_samples))
        draws = [self._in_parts("score", labels, key, images=grey) for key in keys]
        return {name: np.mean([draw[name] for draw in draws], axis=0) for name in draws[0]}

    def p_values(self, scores: np.ndarray) -> np.ndarray | None:
        """The share of usual images that score as low or lower, by held-out images.

        Args:
            scores: `main_score` of N images as `mean_scores` has it by default; that of `score` is
                of one sample alone, too spread for this.

        Returns:
            A conformal p-value for each, [N] in (0, 1]; None if the model knows no such scores.
        """
        scores = tf.constant(to_scores(scores))
        if self._signature_of_p_values not in self.abilities:
            return None
        return self._call(self._signature_of_p_values, scores=scores)["p_values"].numpy()

    @property
    def main_score(self) -> Measure:
        """The score that images are sorted by, the usual ones high."""
        self._check_ability("score")
        names = self.functions.signatures["score"].structured_outputs
        known = [Measure(**values) for values in self.metadata.get("measures", [])]
        # Version 0.1 did not say; its models are VAEs.
        titles = {"elbo": "ELBO", "pseudo_elbo": "pseudo-ELBO"}
        old = [Measure(name, title, "nats per image") for name, title in titles.items()]
        unnamed = (Measure(name, name.replace("_", " "), "") for name in names)
        return next(measure for measure in (*known, *old, *unnamed) if measure.name in names)

    def _grey(self, images: np.ndarray) -> np.ndarray:
        """Brings images to float32 [N, H, W, C] in [0, 1]; see `to_images`."""
        return to_images(images, self.image_shape)

    def _in_parts(
        self,
        signature: str,
        labels: np.ndarray | None,
        key: tf.Tensor | None = None,
        numbers: dict[str, int] | None = None,
        **of_each: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Calls a signature on one part of a batch after another and joins the results.

        With a key, each part gets noise of its own; `numbers` are what else the signature takes,
        and `of_each` what it takes of each of the batch, all by name and checked.
        """
        num, found = len(next(iter(of_each.values()))), []
        of_each |= self._checked(labels, num)
        same = {name: tf.constant(number, tf.int32) for name, number in (numbers or {}).items()}
        for start in range(0, max(num, 1), _AT_ONCE):
            own = slice(start, start + _AT_ONCE)
            seed = {} if key is None else {"seed": tf.random.fold_in(key, start)}
            part = {name: tf.constant(each[own]) for name, each in of_each.items()}
            found.append(self._call(signature, **same, **seed, **part))
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def _call(self, signature: str, **tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Calls a signature by name.

        Not as a method of `functions`: if one of those cannot bind its arguments, TensorFlow 2.21
        keeps a lock, and all other threads that call it wait forever.
        """
        self._check_ability(signature)
        return self.functions.signatures[signature](**tensors)

    def _check_ability(self, signature: str) -> None:
        """Raises a UserError if the model has not been given a signature."""
        if signature not in self.abilities:
            raise UserError(f"This model cannot {signature}; it has {', '.join(self.abilities)}.")

    def _checked(self, labels: np.ndarray | None, num: int) -> dict[str, np.ndarray]:
        """Labels as a conditional model takes them, by name; none for another.

        Raises:
            UserError: if there are labels where none are wanted, or the other way round.
        """
        if not self.is_conditional:
            if labels is not None:
                raise UserError(_KNOWS_NO_LABELS)
            return {}
        if labels is None:
            raise UserError("This model is a conditional one: give labels, one for each image.")
        return {"labels": to_labels(labels, num, len(self.class_names))}


def _checked_number(num: int) -> int:
    return to_whole(num, "num", 0, LARGEST_INT32)


def _checked_seed(seed: int) -> int:
    return to_whole(seed, "seed", SMALLEST_INT32, LARGEST_INT32)


def _arguments(functions: Any, signature: str) -> dict[str, tf.TensorSpec]:
    return functions.signatures[signature].structured_input_signature[1]
