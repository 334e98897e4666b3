"""The tables of names: what can be chosen by a name, and where its code is.

A new network, likelihood, data set, mode, format or family is one file and one line here. Code is
loaded when its name is first used, so this module needs the standard library alone, and flags can
be checked before TensorFlow is there.
"""

from cvae_tf.core.tables import Entry, Table
from cvae_tf.core.tables import import_home as import_home
from cvae_tf.registry_entries import Family, Format, LikelihoodEntry, Mode, Network

_HERE = "cvae_tf."  # what the homes of our own entries begin with


_ADVERSARIES = "generator and discriminator"

FAMILIES: Table[Family] = Table(
    "model",
    {
        "vae": Family(
            f"{_HERE}models.vae.family:VaeFamily",
            "variational autoencoder",
            check=f"{_HERE}models.vae.settings_check:check",
            takes_labels=True,
            takes_network_settings=True,
        ),
        "gan": Family(
            f"{_HERE}models.gan.family:GanFamily",
            "generative adversarial network",
            check=f"{_HERE}models.gan.settings_check:check",
            complete=f"{_HERE}models.gan.settings_check:complete",
            takes_labels=True,
            pair=_ADVERSARIES,
            preset="gan",
        ),
    },
)

_DENSE = ("hidden", "activation", "dropout")

NETWORKS: Table[Network] = Table(
    "network",
    {
        "tutorial": Network(f"{_HERE}models.networks.tutorial:build", "those of the tutorial"),
        "mlp": Network(
            f"{_HERE}models.networks.mlp:build", "dense layers, 784-400-Z", settings=_DENSE
        ),
        "hybrid": Network(
            f"{_HERE}models.networks.hybrid:build",
            "dense layers beside convolutions",
            settings=_DENSE,
        ),
        "patches": Network(
            f"{_HERE}models.networks.patches:build_small",
            "convolutions on patches",
            settings=("activation",),
        ),
        "patches_large": Network(
            f"{_HERE}models.networks.patches:build_large",
            "the same, larger",
            settings=("activation",),
        ),
        "patches_smooth": Network(
            f"{_HERE}models.networks.patches:build_smooth",
            "the same, for tens of latents",
            settings=("activation",),
        ),
        "patches_residual": Network(
            f"{_HERE}models.networks.patches_residual:build",
            "for photographs and colours",
            settings=("activation",),
        ),
        "residual": Network(
            f"{_HERE}models.networks.residual:build",
            "for larger photographs, with strides",
            settings=("activation", "dropout"),
        ),
        "dcgan": Network(
            f"{_HERE}models.networks.dcgan:build",
            "the classic pair of a GAN",
            pair=_ADVERSARIES,
        ),
        "sub_pixel": Network(
            f"{_HERE}models.networks.sub_pixel:build",
            "a light pair of a GAN",
            pair=_ADVERSARIES,
        ),
    },
)

OPTIMIZERS: Table[Entry] = Table(
    "optimizer",
    {
        "adam": Entry(f"{_HERE}training.optimizers:FusedAdam", "Adam in one pass over memory"),
        "adamw": Entry(f"{_HERE}training.optimizers:adamw", "as Keras has it"),
        "muon": Entry(f"{_HERE}training.optimizers:muon", "as Keras has it"),
        **{
            name.lower(): Entry(f"keras.optimizers:{name}", "as Keras has it")
            for name in ("Adamax", "RMSprop", "SGD", "Lion")
        },
    },
)

STRATEGIES: Table[Entry] = Table(
    "strategy",
    {
        "single": Entry(f"{_HERE}training.strategies:single", "one device"),
        "mirrored": Entry(f"{_HERE}training.strategies:mirrored", "all GPUs of this machine"),
        "multiworker": Entry(
            f"{_HERE}training.strategies:multiworker", "the machines that TF_CONFIG or Slurm name"
        ),
    },
)

LIKELIHOODS: Table[LikelihoodEntry] = Table(
    "likelihood",
    {
        "bernoulli": LikelihoodEntry(
            f"{_HERE}models.vae.likelihoods:BERNOULLI", "black or white", is_density=False
        ),
        "continuous_bernoulli": LikelihoodEntry(
            f"{_HERE}models.vae.likelihoods:CONTINUOUS_BERNOULLI", "a density of grey levels"
        ),
        "gaussian": LikelihoodEntry(
            f"{_HERE}models.vae.likelihoods:GAUSSIAN",
            "another, with a learned variance, a function of the latents",
        ),
        "discretized_logistic": LikelihoodEntry(
            f"{_HERE}models.vae.discretized_logistic:DISCRETIZED_LOGISTIC",
            "256 levels, in bits/dim as the literature has them",
            is_density=False,
            is_of_levels=True,
        ),
    },
)

GAN_LOSSES: Table[Entry] = Table(
    "gan_loss",
    {
        "non_saturating": Entry(f"{_HERE}models.gan.losses:NON_SATURATING", "the classic one"),
        "hinge": Entry(f"{_HERE}models.gan.losses:HINGE", "linear up to a margin"),
        "wgan_gp": Entry(f"{_HERE}models.gan.losses:WGAN_GP", "Wasserstein, gradients near one"),
    },
)

FEATURES: Table[Entry] = Table(
    "features",
    {
        "classifier": Entry(
            f"{_HERE}distances.classifier:load", "of a small one, trained once for a data set"
        ),
        "random": Entry(f"{_HERE}distances.random_network:load", "of a fixed random network"),
        "inception": Entry(f"{_HERE}distances.inception:load", "of ImageNet's, by Keras' weights"),
    },
)

BINARIZATIONS: Table[Entry] = Table(
    "binarize",
    {
        "threshold": Entry(
            f"{_HERE}models.vae.binarization:THRESHOLD", "pixels above 0.5 are white"
        ),
        "dynamic": Entry(
            f"{_HERE}models.vae.binarization:DYNAMIC", "drawn by the grey level at each visit"
        ),
        "none": Entry(f"{_HERE}models.vae.binarization:NONE", "grey levels as they are"),
    },
)

DATASETS: Table[Entry] = Table(
    "dataset",
    {
        "auto": Entry(
            f"{_HERE}data.datasets:load_auto",
            "MNIST if it is cached or can be downloaded, else the bundled digits",
        ),
        "mnist": Entry(f"{_HERE}data.keras_sets:load_mnist", "MNIST"),
        "digits": Entry(f"{_HERE}data.digits:load", "the bundled digits"),
        "fashion_mnist": Entry(f"{_HERE}data.keras_sets:load_fashion_mnist", "clothes"),
        "cifar10": Entry(f"{_HERE}data.keras_sets:load_cifar10", "photographs of 10 kinds"),
        "cifar100": Entry(f"{_HERE}data.keras_sets:load_cifar100", "photographs of 100 kinds"),
    },
    prefixes={
        "tfds:": Entry(
            f"{_HERE}data.tfds_sets:load", "one of TensorFlow Datasets, such as tfds:kmnist"
        ),
    },
)

FORMATS: Table[Format] = Table(
    "format",
    {
        "saved_model": Format(f"{_HERE}models.saved_model:write", "with the GIF"),
        "litert": Format(f"{_HERE}exporting.litert:write", "for LiteRT"),
        "onnx": Format(
            f"{_HERE}exporting.onnx_files:write", "for ONNX", packages=("tf2onnx", "onnx")
        ),
        "keras": Format(f"{_HERE}exporting.keras_file:write", "for Keras"),
    },
)

_IMAGES = ("data_path", "invert")

MODES: Table[Mode] = Table(
    "mode",
    {
        "samples": Mode(
            f"{_HERE}generation.samples:make",
            "images from the prior",
            settings=("num", "seed", "individual", "label"),
        ),
        "manifold": Mode(
            f"{_HERE}generation.manifold:make", "the whole latent space", settings=("label",)
        ),
        "plane": Mode(
            f"{_HERE}generation.plane:make",
            "the plane through three latents",
            settings=("seed", "label"),
        ),
        "nearest": Mode(
            f"{_HERE}generation.nearest:make",
            "samples over the nearest training images (--data_path: where these are, if moved)",
            settings=("num", "seed", "label", "data_path"),
        ),
        "reconstruct": Mode(
            f"{_HERE}generation.reconstruct:make",
            "images over their reconstructions",
            settings=("num", "refine", *_IMAGES),
            needs=("reconstruct",),
        ),
        "interpolate": Mode(
            f"{_HERE}generation.interpolate:make",
            "the way between two images or latents",
            settings=("start", "end", "label", "refine", *_IMAGES),
        ),
        "neighbours": Mode(
            f"{_HERE}generation.neighbours:make",
            "more like one image",
            settings=("index", "num", "seed", "spread", "refine", *_IMAGES),
            needs=("encode", "decode"),
        ),
        "class": Mode(
            f"{_HERE}generation.of_class:make",
            "images of a label",
            settings=("label", "num", "seed", "spread", *_IMAGES),
            needs_without_classes=("encode",),
        ),
        "styles": Mode(
            f"{_HERE}generation.styles:make",
            "latents in all classes, as a table",
            settings=("num", "seed"),
            needs_classes=True,
        ),
        "transfer": Mode(
            f"{_HERE}generation.transfer:make",
            "the style of images in all classes",
            settings=("num", *_IMAGES),
            needs=("encode", "decode"),
            needs_classes=True,
        ),
        "anomalies": Mode(
            f"{_HERE}generation.anomalies:make",
            "the most unusual images",
            settings=("num", "seed", "refine", "score", "false_alarms", *_IMAGES),
            needs=("encode", "score"),
        ),
        "denoise": Mode(
            f"{_HERE}generation.denoise:make",
            "noisy images in, clean ones out",
            settings=("num", "seed", "noise", "refine", *_IMAGES),
            needs=("encode", "decode"),
        ),
        "latents": Mode(
            f"{_HERE}generation.latents:make",
            "posterior and score of each image",
            settings=("seed", "refine", *_IMAGES),
            needs=("encode", "score"),
        ),
    },
    aliases={"digit": "class"},
)


def networks_of(family: Family) -> list[str]:
    """The names of the networks that a family can be made of; a plain `Entry` is of a VAE."""
    return [
        name for name in NETWORKS if getattr(NETWORKS[name], "pair", Network.pair) == family.pair
    ]
