"""What a model does with arrays: any number of images or latents in, arrays out.

All that is given is checked first; what does not fit is refused with a `UserError` of one line.
Then the signatures of the model, those of its SavedModel, do the work in parts of bounded size:
images are grey levels or colours, and become pixels inside.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvae_tf.core.errors import UserError
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.models.inputs import (
    LARGEST_INT32,
    SMALLEST_INT32,
    to_images,
    to_labels,
    to_latents,
    to_whole,
)
from cvae_tf.models.vae.anomalies import SCORE_SAMPLES, Anomaly
from cvae_tf.models.vae.posterior import FullPosterior, Posterior
from cvae_tf.presets import MOST_REFINE_STEPS, REFINE_STEPS

_KNOWS_NO_LABELS = "This model knows no labels; train one with --conditional."
_AT_ONCE = 256  # images or latents in one call: enough for full speed, and little memory
_RESULTS = {"factor": FullPosterior, "mean": Posterior, "p_value": Anomaly}  # by one of their names


def also_of_arrays(method: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a method of tensors take arrays too, and give arrays then.

    Given images or latents as a tensor, it is as it is: traceable, and nothing is checked. Given
    anything else, it is the signature of its name, with `labels`, and `steps` if it takes those.
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def either(*arguments: Any, **options: Any) -> Any:
        bound = signature.bind(*arguments, **options)
        model, batch, *_ = bound.arguments.values()
        given = dict(list(bound.arguments.items())[2:])
        if not _is_tensor(batch):
            if given.pop("training", False):
                raise UserError("training=True is for tensors; give tf.constant(...).")
            return _of_arrays(model, method.__name__, batch, **given)
        if given.get("labels") is not None and not _is_tensor(given["labels"]):
            given["labels"] = tf.constant(given["labels"], tf.int32)
        return method(model, batch, **given)

    return either


def _is_tensor(values: Any) -> bool:
    return tf.is_tensor(values) or isinstance(values, keras.KerasTensor)


class ArrayMethods:
    """What a `GenerativeModel` is asked for by arrays alone, and what is known of its making.

    Of a conditional model, `labels` are numbers of classes, int [N], or one for all images.
    """

    image_shape: tuple[int, int, int]  # height, width, channels
    latent_dim: int  # Z
    num_classes: int  # Y of a conditional model; 0 if it knows no labels

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """The contents of its `model.json`; nothing of a model that was made by hand."""
        return {}

    def with_metadata(self, metadata: dict[str, Any]) -> "ArrayMethods":
        """Tells the model of its making; not by assignment, for Keras would wrap the dictionary."""
        vars(self)["metadata"] = metadata
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the labels of a conditional model, [Y]; of another none."""
        numbers = map(str, range(self.num_classes))
        known = self.metadata.get("data", {}).get("class_names", numbers)
        return tuple(known) if self.num_classes else ()

    @property
    def abilities(self) -> tuple[str, ...]:
        """What it can do: the names of its signatures."""
        return tuple(model_family(self).signatures(self))

    def __repr__(self) -> str:
        """What it is, in a line."""
        if not hasattr(self, "image_shape"):  # it is not made yet
            return super().__repr__()
        said = [" x ".join(map(str, self.image_shape)), f"{self.latent_dim} latents"]
        said += [f"{self.num_classes} classes"] if self.num_classes else []
        said += filter(None, [self.metadata.get("config", {}).get("preset")])
        return f"<{type(self).__name__}: {', '.join(said)}>"

    # A family that has these for tensors too replaces them, under `also_of_arrays`.

    def encode(self, images: Any, labels: Any = None) -> Posterior:
        """Finds the posteriors of images [N, H, W, C]; without noise `logvar` is None."""
        return _of_arrays(self, "encode", images, labels)

    def reconstruct(self, images: Any, labels: Any = None) -> np.ndarray:
        """Decodes the posterior means of images [N, H, W, C]."""
        return _of_arrays(self, "reconstruct", images, labels)

    def refine(
        self, images: Any, labels: Any = None, *, steps: int = REFINE_STEPS
    ) -> FullPosterior:
        """Finds better posteriors than the encoder's, by Gauss-Newton steps for each image."""
        return _of_arrays(self, "refine", images, labels, steps=steps)

    def anomaly(self, images: Any, labels: Any = None) -> Anomaly:
        """Says how usual images [N, H, W, C] are, beside held-out images of the run."""
        return _of_arrays(self, "anomaly", images, labels)

    def sample_in_parts(self, num: int, seed: int = 0, labels: Any = None) -> Iterator[np.ndarray]:
        """Yields what `sample` returns, some images at a time; by default all classes in turn."""
        num = to_whole(num, "num", 0, LARGEST_INT32)
        key = derived_key(_checked_seed(seed), Purpose.SAMPLES)
        if labels is None and self.num_classes:
            labels = self.labels_in_turn(num)
        of_each = _checked_labels(self, labels, num)
        latents = self.sample_latents(num, key).numpy()
        for start in range(0, num, _AT_ONCE):
            own = slice(start, start + _AT_ONCE)
            of_part = {name: each[own] for name, each in of_each.items()}
            yield _of_arrays(self, "decode", latents[own], **of_part)

    def labels_in_turn(self, num: int) -> np.ndarray:
        """All classes one after the other, again and again, int32 [num]."""
        if not self.num_classes:
            raise UserError(_KNOWS_NO_LABELS)
        return np.arange(to_whole(num, "num", 0, LARGEST_INT32), dtype=np.int32) % self.num_classes

    def score(self, images: Any, seed: int = 0, labels: Any = None) -> dict[str, np.ndarray]:
        """Scores images [N, H, W, C].

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
        images: Any,
        seed: int = 0,
        num_samples: int = SCORE_SAMPLES,
        labels: Any = None,
    ) -> dict[str, np.ndarray]:
        """Averages `score` over several posterior samples of each image."""
        num_samples = to_whole(num_samples, "num_samples", 1, LARGEST_INT32)
        grey, seed = to_images(images, self.image_shape), _checked_seed(seed)
        if "seed" not in traced_signature(self, "score")[1]:  # there is no chance in it
            return _in_parts(self, "score", labels, images=grey)
        keys = (derived_key(seed, Purpose.SCORES, i) for i in range(num_samples))
        draws = [_in_parts(self, "score", labels, key, images=grey) for key in keys]
        return {name: np.mean([draw[name] for draw in draws], axis=0) for name in draws[0]}

    @functools.cached_property
    def _functions(self) -> dict[str, Any]:
        """Signatures by name, as functions of tensors that were traced once."""
        return {}


def model_family(model: Any) -> Any:
    """The family of a model, which knows its signatures; the families know the models."""
    from cvae_tf.models.families import family_of

    return family_of(model)


def joined_samples(model: Any, num: int, seed: int, labels: Any) -> np.ndarray:
    """Joins what `sample_in_parts` yields: [num, H, W, C]."""
    parts = list(model.sample_in_parts(num, seed, labels))
    return np.concatenate(parts) if parts else np.empty((0, *model.image_shape), np.float32)


def _of_arrays(
    model: Any, name: str, batch: Any, labels: Any = None, *, steps: Any = REFINE_STEPS
) -> Any:
    """What a signature gives for images or latents: its arrays together, or the only one."""
    _, arguments = traced_signature(model, name)
    steps = to_whole(steps, "steps", 0, MOST_REFINE_STEPS)
    same = {"steps": tf.constant(steps)} if "steps" in arguments else {}
    if "latents" in arguments:
        of_each = {"latents": to_latents(batch, model.latent_dim)}
    else:
        of_each = {"images": to_images(batch, model.image_shape)}
    found = _in_parts(model, name, labels, same=same, **of_each)
    for key, kind in _RESULTS.items():
        if key in found:
            return kind(*(found.get(field) for field in kind._fields))
    (result,) = found.values()
    return result


def _in_parts(
    model: Any,
    name: str,
    labels: Any = None,
    key: tf.Tensor | None = None,
    same: dict[str, tf.Tensor] | None = None,
    **of_each: np.ndarray,
) -> dict[str, np.ndarray]:
    """Calls a signature on one part of a batch after another and joins the results.

    Args:
        model: a `GenerativeModel`.
        name: of the signature.
        labels: of a conditional model, whatever was given for them.
        key: int32 [2], if the signature takes a seed; each part gets noise of its own.
        same: what it takes for all parts, by name.
        **of_each: what it takes of each of the batch, checked, [N, ...].

    Returns:
        Its results by name, [N, ...].

    Raises:
        UserError: if the model has no such signature, or the labels do not fit.
    """
    function, _ = traced_signature(model, name)
    num, found = len(next(iter(of_each.values()))), []
    of_each |= _checked_labels(model, labels, num)
    for start in range(0, max(num, 1), _AT_ONCE):
        own = slice(start, start + _AT_ONCE)
        seed = {} if key is None else {"seed": tf.random.fold_in(key, start)}
        part = {name: tf.constant(each[own]) for name, each in of_each.items()}
        found.append(function(**(same or {}), **seed, **part))
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def traced_signature(model: Any, name: str) -> tuple[Any, list[str]]:
    """A signature as a function of tensors by name, and the names of its arguments.

    Raises:
        UserError: if the model has no such signature.
    """
    functions = model._functions
    if name not in functions:
        signatures = model_family(model).signatures(model)
        if name not in signatures:
            raise UserError(f"This model cannot {name}; it has {', '.join(signatures)}.")
        function, arguments = signatures[name]
        traced = tf.function(function, input_signature=arguments, autograph=False)
        names = [each.name for each in arguments]
        functions[name] = traced.get_concrete_function(), names
    return functions[name]


def _checked_labels(model: Any, labels: Any, num: int) -> dict[str, np.ndarray]:
    """Labels as a conditional model takes them, by name; none for another.

    Raises:
        UserError: if there are labels where none are wanted, or the other way round.
    """
    if not model.num_classes:
        if labels is not None:
            raise UserError(_KNOWS_NO_LABELS)
        return {}
    if labels is None:
        raise UserError("This model is a conditional one: give labels, one for each image.")
    return {"labels": to_labels(labels, num, model.num_classes)}


def _checked_seed(seed: Any) -> int:
    return to_whole(seed, "seed", SMALLEST_INT32, LARGEST_INT32)
