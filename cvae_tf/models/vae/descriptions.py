"""A VAE in words: the line of an epoch, what model.json and the model card say of it."""

from typing import Any

from cvae_tf.core import amounts
from cvae_tf.models.measures import nats_of_one_bit
from cvae_tf.models.networks.building import ImageShape
from cvae_tf.models.vae.pixels import Pixels

_OF = {
    "prior": "",
    "mixture": " Samples come from a mixture of Gaussians that was fitted to the latents of the "
    "training images; likelihoods are those under the prior, a standard Gaussian.",
}
_TRAINED_ON = {
    "shared": " Half of its training did not use its encoder (--objective=shared), which therefore "
    "often misses the best latents of an image: `infer` finds likelier ones, "
    "`reconstruct_refined` and `score_refined` use them.",
}


def describe_test(pixels: Pixels, values: dict[str, float], image_shape: ImageShape) -> str:
    """Writes the ELBO as the sum that it is.

    Args:
        pixels: of the model; they say what the terms are called.
        values: means over the test images by the names of the terms, nats per image.
        image_shape: height, width, channels.

    Returns:
        A part of the line of an epoch.
    """
    elbo, log_likelihood, kl = pixels.terms.values()
    text = (
        f"{elbo.title} {values[elbo.name]:.2f} = {log_likelihood.title} "
        f"{values[log_likelihood.name]:.2f} - {kl.title} {values[kl.name]:.2f} nats/image"
    )
    if pixels.density.is_of_levels:
        text += f" ({_bits(values[elbo.name], image_shape)})"
    return text


def _bits(elbo: float, image_shape: ImageShape) -> str:
    return f"{-elbo / nats_of_one_bit(image_shape):.2f} bits/dim"


def meaning_of_bits(pixels: Pixels) -> str | None:
    """Says what bits per dimension are of grey levels, if they are a bound of anything."""
    if pixels.density.is_of_levels:
        return (
            "These are probabilities of 256 levels for each pixel and channel: bits/dim is a "
            "length of code, as the literature gives it."
        )
    if pixels.density.is_density:
        return (
            "These are densities of grey levels in [0, 1], whose bits/dim may be negative; they "
            "do not compare with code lengths of images with 256 levels."
        )
    return None


def describe(
    pixels: Pixels, sampler: str, objective: str, held_out: dict[str, int]
) -> dict[str, Any]:
    """What `model.json` says of a VAE beside its settings.

    Args:
        pixels: of the model.
        sampler: where its samples come from, "prior" or "mixture".
        objective: what was climbed, by name.
        held_out: how many held-out scores it knows, by the kind of score.
    """
    how, likelihood = pixels.binarization.description, pixels.likelihood.replace("_", " ")
    return {
        "black_and_white": pixels.binarize == "threshold",
        "binarization": how,
        "pixels": f"{how}; this happens inside the model. p(x|z): {likelihood}",
        "limits": "Its samples are blurred where its latents cannot say more. A score compares "
        f"images under this model; it is no probability of being an anomaly."
        f"{_OF[sampler]}{_TRAINED_ON.get(objective, '')}",
        **({"p_values": _describe_p_values(held_out)} if held_out else {}),
        **({"bits": meaning_of_bits(pixels)} if pixels.density.is_of_levels else {}),
    }


def _describe_p_values(held_out: dict[str, int]) -> str:
    samples, steps = amounts.SCORE_SAMPLES, amounts.STEPS
    text = (
        f"`p_values` takes the mean of `score` over {samples} seeds, and compares it with the "
        f"scores of {held_out['encoders']:,} test images"
    )
    if "relative" in held_out:
        text += (
            "; `score_relative` takes images and the same means, and gives what these are above "
            "the scores of test images with as much variation between neighbouring pixels, in "
            "themselves or in their reconstructions, whichever is lower; this mostly tells more; "
            "`p_values_relative` takes what it gives"
        )
    if "refined" in held_out:
        text += (
            f"; `p_values_refined` takes what `score_refined` gives with {steps} steps and "
            f"{samples} samples, and compares it with {held_out['refined']:,}; `p_values_regret` "
            "takes what `p_values` is given minus what `p_values_refined` is, for the same images"
        )
    return f"{text}. Of usual images at most a share p has a p-value up to p."


def describe_numbers(pixels: Pixels, metrics: dict[str, float], image_shape: ImageShape) -> str:
    """Says for the model card what the numbers of an epoch mean.

    Args:
        pixels: of the model.
        metrics: the last row of `metrics.csv`.
        image_shape: height, width, channels.

    Returns:
        Markdown.
    """
    means = {
        term: f"{metrics[f'test_{measure.name}']:.2f}" for term, measure in pixels.terms.items()
    }
    text = (
        f"After epoch {metrics['epoch']}, mean over the test images, nats per image, by one "
        "posterior sample each:\n\n"
    )
    if not pixels.has_likelihood:
        return (
            f"{text}- negative cross-entropy of the grey levels {means['log_likelihood']}; it is "
            f"no log-likelihood,\n- minus KL(q(z|x) || p(z)) {means['kl']},\n"
            f"- together {means['elbo']}; higher is better, but it bounds no log p(x)."
        )
    text += (
        f"- ELBO {means['elbo']}: a lower bound on log p(x); higher is better;\n"
        f"- of which log-likelihood log p(x|z) {means['log_likelihood']}\n"
        f"- minus KL(q(z|x) || p(z)) {means['kl']}."
    )
    if pixels.density.is_of_levels:
        bits = _bits(metrics[f"test_{pixels.terms['elbo'].name}"], image_shape)
        text += f"\n\nThe ELBO is {bits}. {meaning_of_bits(pixels)}"
    return text
