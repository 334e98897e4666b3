"""Families of models by name; `FAMILIES["mine"] = Mine` before `train` is called adds one."""

from cvae_tf.models.gan.model import GAN
from cvae_tf.models.vae.model import CVAE

FAMILIES = {"vae": CVAE, "gan": GAN}
