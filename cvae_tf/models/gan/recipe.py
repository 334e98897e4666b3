"""How generator and discriminator learn from each other: the loss, its penalties, the changes."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from cvae_tf.core import replicas
from cvae_tf.core.settings import find
from cvae_tf.models.gan import losses
from cvae_tf.models.gan.losses import GAN_LOSSES, GanLoss

R1_EVERY = 16  # steps; the penalty counts as many times then (Karras et al. 2020, section 3.1)

Judge = Callable[[tf.Tensor], tf.Tensor]  # images [B, H, W, C] -> logits [B]


class Recipe(NamedTuple):
    """How the two learn from each other."""

    loss: str = "non_saturating"  # in `GAN_LOSSES`
    r1: float = 0.0  # weight of the gradient penalty at real images
    augment: tuple[str, ...] = ()  # some of `diff_augment.KINDS`

    @property
    def terms(self) -> GanLoss:
        """The losses by their name."""
        return find("gan_loss", GAN_LOSSES, self.loss)

    def gradient_penalty(
        self, judge: Judge, real: tf.Tensor, drawn: tf.Tensor, key: tf.Tensor
    ) -> tf.Tensor | float:
        """What a loss adds for gradients between real and drawn images; 0 if it has no such term.

        Args:
            judge: the discriminator.
            real: images [B, H, W, C].
            drawn: as many.
            key: int32 [2], decides where between them.
        """
        weight = self.terms.gradient_penalty
        if not weight:
            return 0.0
        shares = replicas.own_rows(
            lambda num: tf.random.stateless_uniform([num, 1, 1, 1], key), tf.shape(real)[0]
        )
        return weight * losses.distance_penalty(judge, real, tf.stop_gradient(drawn), shares)

    def with_r1(
        self,
        gradients: list[tf.Tensor],
        judge: Judge,
        real: tf.Tensor,
        variables: list[keras.Variable],
        step: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Adds the gradients of R1, which is found at every sixteenth step.

        Args:
            gradients: of the discriminator's loss, by its variables.
            judge: the discriminator.
            real: images [B, H, W, C].
            variables: of the discriminator.
            step: gradient steps so far.

        Returns:
            The gradients to apply.
        """
        if not self.r1:
            return gradients
        values = [variable.value for variable in variables]

        def with_penalty() -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                penalty = self.r1 * R1_EVERY * losses.r1_penalty(judge, real)
            zero = tf.UnconnectedGradients.ZERO
            found = tape.gradient(penalty, values, unconnected_gradients=zero)
            return [own + more for own, more in zip(gradients, found, strict=True)]

        return tf.cond(step % R1_EVERY == 0, with_penalty, lambda: gradients)
