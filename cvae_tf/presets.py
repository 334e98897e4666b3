"""The presets: named networks and recipes, as values of settings in `config.py`."""

PRESETS = {
    # The TensorFlow tutorial "Convolutional Variational Autoencoder", to the letter.
    "tutorial": {
        "network": "tutorial",
        "batch_size": 32,
        "learning_rate": 1e-4,
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # Several times faster and twenty nats better: see benchmarks/NOTES.md.
    "fast": {
        "network": "patches",
        "batch_size": 128,
        "learning_rate": 4e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # The classic dense network, 784-400-20-400-784, on grey levels as Bernoulli targets.
    "mlp20": {
        "network": "mlp",
        "latent_dim": 20,
        "binarize": "none",
        "objective": "elbo_analytic",
        "epochs": 15,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # Three dense layers each way (784-512-256-Z), with a heavier KL (Higgins et al. 2017).
    "mlp": {
        "network": "mlp",
        "hidden": "512,256",
        "latent_dim": 10,
        "beta": 4.0,
        "epochs": 15,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # Dense layers and convolutions side by side.
    "hybrid": {
        "network": "hybrid",
        "latent_dim": 20,
        "epochs": 10,
        "batch_size": 128,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "augment": 0.0,
    },
    # The best test ELBO that about fifty epochs' worth of the time of "fast" buys.
    "best": {
        "network": "patches_large",
        "epochs": 21,
        "batch_size": 128,
        "learning_rate": 4e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.05,
        "augment": 0.15,
    },
    # Grey levels and colours as they are: see benchmarks/NOTES.md.
    "photo": {
        "network": "patches_residual",
        "latent_dim": 256,
        "binarize": "none",
        "likelihood": "discretized_logistic",
        "epochs": 15,
        "batch_size": 128,
        "learning_rate": 3e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "weight_decay": 0.0,
        "clip_norm": 100.0,
        "augment": 0.0,
    },
}
DEFAULT_PRESET, PHOTO_PRESET = "fast", "photo"
