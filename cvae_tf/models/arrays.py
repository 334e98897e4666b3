"""Checks what a model is given, and lets it work on arrays of any number of images.

Arrays are checked as a whole; what does not fit is refused with a `UserError` of one line. Then
the model's signatures, those of its SavedModel, do the work in parts of bounded size: images are
grey levels or colours, and become pixels inside. Tensors that signatures and Keras' `fit` get are
checked by assertions in the graph.
"""

import functools
import inspect
import numbers
import operator
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cvae_tf import models
from cvae_tf.core.errors import UserError
from cvae_tf.core.paths import listed
from cvae_tf.core.randomness import Purpose, derived_key
from cvae_tf.core.settings import LARGEST_SEED
from cvae_tf.core.terminal import warn
from cvae_tf.data.labels import MOST_LISTED, find_classes, one_of_each
from cvae_tf.models.vae.anomalies import SCORE_SAMPLES, Anomaly
from cvae_tf.models.vae.posterior import FullPosterior, Posterior
from cvae_tf.presets import MOST_REFINE_STEPS, REFINE_STEPS

_SMALLEST_INT32, _LARGEST_INT32 = -(2**31), 2**31 - 1  # what signatures take
_NO_PIXELS = "images must lie in [0, 1], without NaN, as 8-bit ones divided by 255 do."
_OTHER_NUMBER_OF_LABELS = "labels must be as many as there are images."
_KNOWS_NO_LABELS = "This model knows no labels; train one with --conditional."
_FORMS = "floats in [0, 1], whole numbers from 0 to 255, or bool"
_AT_ONCE = 256  # images or latents in one call: enough for full speed, and little memory
_RESULTS = {"factor": FullPosterior, "mean": Posterior, "p_value": Anomaly}  # by one of their names


class Endpoint(NamedTuple):
    """A signature: a function of tensors by name, what it takes, and what it returns."""

    function: Callable[..., dict[str, tf.Tensor]]
    arguments: list[tf.TensorSpec]
    results: list[tf.TensorSpec]


def also_of_arrays(method: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a method for tensors take arrays too; it then returns arrays.

    With a tensor, the method is unchanged: traceable and without checks. With anything
    else, it runs the signature of the same name, with `labels`, and `steps` if it takes those.
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
            return of_arrays(model, method.__name__, batch, **given)
        labels = given.get("labels")
        if labels is not None and not _is_tensor(labels):
            num = batch.shape[0] if batch.shape[0] is not None else len(np.atleast_1d(labels))
            given["labels"] = tf.constant(checked_labels(model, labels, num)["labels"])
        return method(model, batch, **given)

    return either


def _is_tensor(values: Any) -> bool:
    return tf.is_tensor(values) or isinstance(values, keras.KerasTensor)


class ArrayMethods:
    """Methods of a `GenerativeModel` that take only arrays, and how the model was made.

    Of a conditional model, `labels` are numbers of classes, [N] or one-hot, [N, Y], or their names;
    or one for all images.
    """

    image_shape: tuple[int, int, int]  # height, width, channels
    latent_dim: int  # Z
    num_classes: int  # Y of a conditional model; 0 if it knows no labels

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """The contents of its `model.json`; empty for a model that was made by hand."""
        return {}

    def with_metadata(self, metadata: dict[str, Any]) -> "ArrayMethods":
        """Sets how the model was made; not by assignment, because Keras would wrap the dict."""
        vars(self)["metadata"] = metadata
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of a conditional model, [Y]; empty for others."""
        numbers = map(str, range(self.num_classes))
        known = self.metadata.get("data", {}).get("class_names", numbers)
        return tuple(known) if self.num_classes else ()

    @property
    def abilities(self) -> tuple[str, ...]:
        """What the model can do: the names of its signatures."""
        return tuple(models.family_of(self).signatures(self))

    def __repr__(self) -> str:
        """What it is, in a line."""
        if not hasattr(self, "image_shape"):  # not built yet
            return super().__repr__()
        said = [" x ".join(map(str, self.image_shape)), f"{self.latent_dim} latents"]
        said += [f"{self.num_classes} classes"] if self.num_classes else []
        said += filter(None, [self.metadata.get("config", {}).get("preset")])
        return f"<{type(self).__name__}: {', '.join(said)}>"

    # A family that has these for tensors too overrides them with `also_of_arrays`.

    def encode(self, images: Any, labels: Any = None) -> Posterior:
        """Finds the posteriors of images [N, H, W, C]; without noise `logvar` is None."""
        return of_arrays(self, "encode", images, labels)

    def reconstruct(self, images: Any, labels: Any = None) -> np.ndarray:
        """Decodes the posterior means of images [N, H, W, C]."""
        return of_arrays(self, "reconstruct", images, labels)

    def refine(
        self, images: Any, labels: Any = None, *, steps: int = REFINE_STEPS
    ) -> FullPosterior:
        """Finds better posteriors than the encoder's, by Gauss-Newton steps for each image."""
        return of_arrays(self, "refine", images, labels, steps=steps)

    def anomaly(self, images: Any, labels: Any = None, *, false_alarms: float = 0.01) -> Anomaly:
        """Says how usual images [N, H, W, C] are, compared with held-out images of the run."""
        return of_arrays(self, "anomaly", images, labels, false_alarms=false_alarms)

    def sample_in_parts(
        self, num: int, seed: int | None = None, labels: Any = None
    ) -> Iterator[np.ndarray]:
        """Yields what `sample` returns, some images at a time; by default all classes in turn."""
        num = to_whole(num, "num", 0, _LARGEST_INT32)
        seed = random.randint(0, LARGEST_SEED) if seed is None else _to_seed(seed)
        key = derived_key(seed, Purpose.SAMPLES)
        if labels is None and self.num_classes:
            labels = self.labels_in_turn(num)
        of_each = checked_labels(self, labels, num)
        latents = self.sample_latents(num, key).numpy()
        for start in range(0, num, _AT_ONCE):
            own = slice(start, start + _AT_ONCE)
            of_part = {name: each[own] for name, each in of_each.items()}
            yield of_arrays(self, "decode", latents[own], **of_part)

    def labels_in_turn(self, num: int) -> np.ndarray:
        """All classes one after the other, again and again, int32 [num]."""
        if not self.num_classes:
            raise UserError(_KNOWS_NO_LABELS)
        return np.arange(to_whole(num, "num", 0, _LARGEST_INT32), dtype=np.int32) % self.num_classes

    def score(self, images: Any, seed: int = 0, labels: Any = None) -> dict[str, np.ndarray]:
        """Scores images [N, H, W, C], of a conditional model under these classes.

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
        num_samples = to_whole(num_samples, "num_samples", 1, _LARGEST_INT32)
        grey, seed = to_images(images, self.image_shape), _to_seed(seed)
        labels = checked_labels(self, labels, len(grey)).get("labels")
        arguments = [each.name for each in traced_signature(self, "score").arguments]
        if "seed" not in arguments:  # it does not depend on chance
            return _in_parts(self, "score", labels, images=grey)
        keys = (derived_key(seed, Purpose.SCORES, i) for i in range(num_samples))
        draws = [_in_parts(self, "score", labels, key, images=grey) for key in keys]
        return {name: np.mean([draw[name] for draw in draws], axis=0) for name in draws[0]}

    @functools.cached_property
    def _endpoints(self) -> dict[str, Endpoint]:
        """Signatures by name; each is traced once."""
        return {}


def of_arrays(
    model: Any,
    name: str,
    batch: Any,
    labels: Any = None,
    *,
    steps: Any = REFINE_STEPS,
    false_alarms: Any = 0.01,
) -> Any:
    """What a signature returns for images or latents: its arrays, or its only array."""
    arguments = [each.name for each in traced_signature(model, name).arguments]
    steps = to_whole(steps, "steps", 0, MOST_REFINE_STEPS)
    same = {"steps": tf.constant(steps)} if "steps" in arguments else {}
    if "latents" in arguments:
        of_each = {"latents": to_latents(batch, model.latent_dim)}
    else:
        of_each = {"images": to_images(batch, model.image_shape)}
    found = _in_parts(model, name, labels, same=same, **of_each)
    for key, kind in _RESULTS.items():
        if key in found:
            result = kind(*(found.get(field) for field in kind._fields))
            return _marked(model, result, false_alarms) if kind is Anomaly else result
    (result,) = found.values()
    return result


def _marked(model: Any, found: Anomaly, false_alarms: Any) -> Anomaly:
    """Marks images as anomalous: of usual ones at most the share `false_alarms`."""
    if not isinstance(false_alarms, numbers.Real) or not 0 < false_alarms < 1:
        raise UserError("false_alarms: must be a number between 0 and 1, such as 0.01.")
    if false_alarms < model.smallest_p_value:
        warn(
            f"false_alarms={false_alarms:g}: too few images were held out to tell so small a rate; "
            f"nothing is called anomalous below {model.smallest_p_value:.2g}."
        )
    return found._replace(is_anomalous=found.p_value <= false_alarms)


def _in_parts(
    model: Any,
    name: str,
    labels: Any = None,
    key: tf.Tensor | None = None,
    same: dict[str, tf.Tensor] | None = None,
    **of_each: np.ndarray,
) -> dict[str, np.ndarray]:
    """Calls a signature on a batch part by part and joins the results, [N, ...].

    `same` goes to all parts; `of_each`, checked, [N, ...], is split. If the signature takes a seed,
    the key, int32 [2], gives each part its own noise.

    Raises:
        UserError: if the model has no such signature, or the labels do not fit.
    """
    function = traced_signature(model, name).function
    num, found = len(next(iter(of_each.values()))), []
    of_each |= checked_labels(model, labels, num)
    for start in range(0, max(num, 1), _AT_ONCE):
        own = slice(start, start + _AT_ONCE)
        seed = {} if key is None else {"seed": tf.random.fold_in(key, start)}
        part = {name: tf.constant(each[own]) for name, each in of_each.items()}
        found.append(function(**(same or {}), **seed, **part))
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def traced_signature(model: Any, name: str) -> Endpoint:
    """Traces a signature of a model, once for arrays and for its SavedModel.

    Raises:
        UserError: if the model has no such signature.
    """
    endpoints = model._endpoints
    if name not in endpoints:
        signatures = models.family_of(model).signatures(model)
        if name not in signatures:
            raise UserError(f"This model cannot {name}; it has {', '.join(signatures)}.")
        function, arguments = signatures[name]
        traced = tf.function(function, arguments, autograph=False).get_concrete_function()
        outputs = traced.structured_outputs.items()
        results = [tf.TensorSpec(each.shape, each.dtype, key) for key, each in outputs]
        endpoints[name] = Endpoint(traced, arguments, results)
    return endpoints[name]


def checked_labels(model: Any, labels: Any, num: int) -> dict[str, np.ndarray]:
    """The labels as an argument of a conditional model; empty for other models.

    Raises:
        UserError: if there are labels where none are wanted, or the other way round.
    """
    if not model.num_classes:
        if labels is not None:
            raise UserError(_KNOWS_NO_LABELS)
        return {}
    if labels is None:
        raise UserError("This model is a conditional one: give labels, one for each image.")
    return {"labels": to_labels(labels, num, model.class_names)}


def _to_seed(seed: Any) -> int:
    return to_whole(seed, "seed", _SMALLEST_INT32, _LARGEST_INT32)


# What is given as arrays.


def to_images(given: Any, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Brings images to grey levels in [0, 1], float32 [N, H, W, C].

    Args:
        given: [N, H, W, C], or [N, H, W] of one channel; floats in [0, 1], whole numbers from 0 to
            255, or bool, with True for white.
        image_shape: height, width and channels that the model takes.

    Raises:
        UserError: if they are anything else. Whole numbers that are only 0 and 1 are refused, as
            in training: they may mean black and white, or two almost black levels.
    """
    images = _array(given, "Images", "biuf", _FORMS)
    if images.ndim == 3 and image_shape[-1] == 1 and images.shape != image_shape:
        images = images[..., np.newaxis]
    if images.shape[1:] != image_shape:
        raise UserError(
            f"Images of shape {images.shape} do not fit this model; it takes "
            f"[N, {', '.join(map(str, image_shape))}]; channels are last, and one image is "
            "images[np.newaxis]."
        )
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    if images.dtype.kind in "iu" and high == 1:
        raise UserError(
            f"Images are {images.dtype} with values 0 and 1 alone; white must be 255. Give bool or "
            "floats if 1 is white, and divide by 255 if they are all but black."
        )
    white = 255 if images.dtype.kind in "iu" else 1
    if not (np.float32(low) >= 0 and np.float32(high) <= white):  # after rounding
        raise UserError(
            f"Images are {images.dtype} with values from {low:.6g} to {high:.6g}; give {_FORMS}."
        )
    return images.astype(np.float32) / np.float32(white)


def to_latents(given: Any, latent_dim: int) -> np.ndarray:
    """Brings latents to float32 [N, Z].

    Raises:
        UserError: if they have another shape, or are not finite numbers.
    """
    latents = _array(given, "Latents", "iuf", "floats")
    if latents.shape[1:] != (latent_dim,):
        raise UserError(
            f"Latents of shape {latents.shape} do not fit this model; it takes [N, {latent_dim}]."
        )
    with np.errstate(over="ignore"):  # too large numbers become infinite
        latents = latents.astype(np.float32)
    if not np.all(np.isfinite(latents)):
        raise UserError("Latents have NaN or infinite values; they must be finite.")
    return latents


def to_labels(given: Any, num: int, class_names: tuple[str, ...]) -> np.ndarray:
    """Turns class numbers or names, one for each image or for all, into numbers, int32 [N].

    Numbers may be one-hot. Whole ones are kept, so that labels can be converted twice.

    Raises:
        UserError: if they are anything else.
    """
    num_classes = len(class_names)
    wanted = f"numbers of classes from 0 to {num_classes - 1}, one for each of the {num} images"
    labels = _array(given, "labels", "biufUO", f"{wanted}, or names of classes")
    if labels.dtype.kind in "UO":
        labels, unknown = find_classes(labels, class_names)
        if unknown:
            known = listed(class_names, MOST_LISTED)
            raise UserError(f"labels: {unknown[0]} is no class of this model; it knows {known}.")
    labels = np.full(num, labels) if labels.ndim == 0 else labels
    if labels.shape in ((num,), (num, 1), (num, num_classes)):
        labels = one_of_each(labels, num, "labels")
    is_whole = labels.shape == (num,) and labels.dtype.kind in "iu"
    if not is_whole or not np.all((labels >= 0) & (labels < num_classes)):
        raise UserError(f"labels must be {wanted}.")
    return labels.astype(np.int32)


def to_whole(given: Any, name: str, least: int, most: int) -> int:
    """Turns a whole number of any type, from `least` to `most`, into an int.

    Raises:
        UserError: if it is anything else; the message names it.
    """
    try:
        number = None if isinstance(given, bool) else operator.index(given)
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        said = f"={given}" if isinstance(given, int | float) else f": is a {type(given).__name__}"
        raise UserError(f"{name}{said}; must be a whole number from {least} to {most}.")
    return number


def _array(given: Any, what: str, kinds: str, wanted: str) -> np.ndarray:
    """Turns anything given into an array, whose type is one of NumPy's `kinds`.

    Raises:
        UserError: if that fails; the message says what is wanted.
    """
    try:
        array = np.asarray(given)
    except ValueError as error:  # for nested lists of unequal lengths
        raise UserError(
            f"{what}: a {type(given).__name__} that cannot be made an array; give {wanted}."
        ) from error
    if array.dtype.kind not in kinds and array.shape != (0,):  # an empty list becomes floats
        raise UserError(f"{what}: of the type {array.dtype.name}; give {wanted}.")
    return array


# What is given as tensors.


def grey_checks(images: tf.Tensor) -> list[tf.Operation]:
    """Assertions that images [B, H, W, C] are grey levels; a NaN is the smallest of all."""
    fits = (tf.reduce_min(images) >= 0) & (tf.reduce_max(images) <= 1)
    return [tf.debugging.Assert(fits, [_NO_PIXELS])]


def class_checks(labels: tf.Tensor, num: tf.Tensor, num_classes: int) -> list[tf.Operation]:
    """Assertions that labels are class numbers, and that there are `num`."""
    whole = tf.round(labels) if labels.dtype.is_floating else labels
    valid = tf.reduce_all((labels >= 0) & (labels < num_classes) & (labels == whole))
    return [
        tf.debugging.Assert(valid, [_no_classes(num_classes)]),
        tf.debugging.Assert(tf.size(labels) == num, [_OTHER_NUMBER_OF_LABELS]),
    ]


def _no_classes(num_classes: int) -> str:
    return f"labels must be numbers of classes, from 0 to {num_classes - 1}."


def batch_checks(model: Any, images: tf.Tensor, labels: Any) -> list[tf.Operation]:
    """Assertions that a batch from Keras fits a model; labels may be None.

    Raises:
        UserError: at once, if images or labels are of a wrong type, or images of another shape.
    """
    if not (images.dtype.is_floating or images.dtype.is_bool):
        raise UserError(f"images are {images.dtype.name}; {_NO_PIXELS}")
    if not images.shape[1:].is_compatible_with(model.image_shape):
        raise UserError(
            f"images of shape {tuple(images.shape)} do not fit this model; it takes "
            f"[B, {', '.join(map(str, model.image_shape))}]."
        )
    checks, num_classes = grey_checks(tf.cast(images, tf.float32)), model.num_classes
    if num_classes and labels is not None:
        labels = tf.convert_to_tensor(labels)
        if not (labels.dtype.is_floating or labels.dtype.is_integer):
            raise UserError(_no_classes(num_classes))
        if (values := labels.shape[1:].num_elements()) not in (1, None):
            raise UserError(
                f"labels have {values} values for each image; give one number for each, of one-hot "
                "labels np.argmax(labels, axis=1)."
            )
        checks += class_checks(labels, tf.shape(images)[0], num_classes)
    return checks


def refusing(function: Callable[..., Any], num_classes: int) -> Callable[..., Any]:
    """Wraps a function, so that a failed assertion from here raises a UserError of one line."""
    known = (_NO_PIXELS, _OTHER_NUMBER_OF_LABELS, _no_classes(num_classes))

    @functools.wraps(function)
    def refuse(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except tf.errors.InvalidArgumentError as error:
            said = next((each for each in known if each in str(error)), None)
            raise (UserError(said) if said else error) from None

    return refuse
