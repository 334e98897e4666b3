"""Settings in combination: each pair of values is trained, exported and sampled, or refused.

Optimizers stand in turn beside the others, each with some of the networks.
"""

import itertools
import random
import re

import numpy as np
import pytest
from conftest import VAE_NETWORKS

import cvae_tf
from cvae_tf import registry, workflows
from cvae_tf.config import OBJECTIVES, Config
from cvae_tf.core.errors import UserError

FACTORS = {
    "network": ["tutorial", "mlp", "hybrid", "patches", "patches_large", "patches_smooth",
                "patches_residual", "residual"],
    "likelihood": ["bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic"],
    "binarize": ["threshold", "dynamic", "none"],
    "objective": list(OBJECTIVES),
    "conditional": [False, True],
}  # fmt: skip
NAMES = list(FACTORS)
OPTIMIZERS = ["adam", "adamw", "adamax", "rmsprop", "sgd", "muon", "lion"]


def _allowed(case):
    """Grey likelihoods take grey levels; what is said of one pair is left to the refusals."""
    if (case["likelihood"], case["objective"]) == ("discretized_logistic", "shared"):
        return False
    return case["likelihood"] == "bernoulli" or case["binarize"] == "none"


def _pairs_of(case):
    return {
        (first, case[first], other, case[other])
        for first, other in itertools.combinations(NAMES, 2)
    }


def _covering():
    """Few cases in which every pair of values that may stand together does so, greedily."""
    chance = random.Random(0)
    every = [
        dict(zip(NAMES, values, strict=True)) for values in itertools.product(*FACTORS.values())
    ]
    every = [case for case in every if _allowed(case)]
    missing, cases = set().union(*map(_pairs_of, every)), []
    while missing:
        tried = chance.sample(every, 300)
        best = max(tried, key=lambda case: len(_pairs_of(case) & missing))
        if _pairs_of(best) & missing:
            missing -= _pairs_of(best)
            cases.append(best)
    return [{**case, "optimizer": each} for case, each in zip(cases, itertools.cycle(OPTIMIZERS))]


CASES = _covering()


def _settings(case):
    samples = {"importance_samples": 2} if case["objective"] == "iwae" else {}
    rate = {"sgd": 1e-7}.get(case["optimizer"], 1e-4)
    return {
        **case,
        **samples,
        "learning_rate": rate,
        "latent_dim": 2 if case["objective"] == "shared" else 3,
        "epochs": 1,
        "batch_size": 32,
    }


def test_every_pair_is_covered_by_few_cases():
    assert len(CASES) < 45
    for name, values in (*FACTORS.items(), ("optimizer", OPTIMIZERS)):
        assert {case[name] for case in CASES} == set(values)
    assert sorted(VAE_NETWORKS) == sorted(FACTORS["network"])
    tables = {
        "likelihood": registry.LIKELIHOODS, "binarize": registry.BINARIZATIONS,
        "optimizer": registry.OPTIMIZERS,
    }  # fmt: skip
    for name, table in tables.items():
        ours = [each for each in table if not callable(table[each].home)]
        assert sorted(set(ours) - {"mine"}) == sorted({case[name] for case in CASES}), name


@pytest.fixture(scope="module")
def two_steps(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "two_steps.npz"
    arrays = {
        "x_train": digits.train.images[:64], "y_train": np.arange(64) % 10,
        "x_test": digits.test.images[:20], "y_test": np.arange(20) % 10,
    }  # fmt: skip
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_it_trains_two_steps_is_exported_and_sampled(case, two_steps, tmp_path):
    run = workflows.train(
        run_dir=tmp_path / "run", data_path=two_steps, verbose=0, **_settings(case)
    )
    row = run.history[0]
    assert row["step"] == 2 and all(np.isfinite(list(row.values())))
    model = cvae_tf.load(run.saved_model)
    images = model.sample(4, seed=1)
    assert images.shape == (4, 28, 28, 1) and images.min() >= 0 and images.max() <= 1
    assert model.is_conditional is case["conditional"]
    if case["conditional"]:
        other = model.sample(4, seed=1, labels=(np.arange(4) + 5) % 10)
        assert np.abs(other - images).max() > 0


REFUSED = {
    **{
        f"--likelihood={likelihood}.*--binarize=none": {
            "likelihood": likelihood, "binarize": binarize,
        }
        for likelihood, binarize in itertools.product(FACTORS["likelihood"][1:], ["dynamic"])
    },
    "--importance_samples=1 with --objective=iwae": {"objective": "iwae"},
    "--likelihood=discretized_logistic with --objective=shared": {
        "likelihood": "discretized_logistic", "binarize": "none", "objective": "shared",
    },
    "--objective=shared: its latents cover 2 dimensions, not 3": {
        "objective": "shared", "latent_dim": 3,
    },
    "--shared_latents=100 does nothing with --objective=elbo": {"shared_latents": 100},
    "--importance_samples=5 with --objective=elbo:": {"importance_samples": 5},
    "--hidden does nothing with --network=patches; it is for mlp, hybrid": {
        "network": "patches", "hidden": "50",
    },
    "--activation does nothing with --network=tutorial": {
        "network": "tutorial", "activation": "elu",
    },
    "--dropout does nothing with --network=patches_large": {
        "network": "patches_large", "dropout": 0.1,
    },
    "--hidden=12,x: must be numbers of units": {"network": "mlp", "hidden": "12,x"},
    "--optimizer=adagrad: unknown; choose from adam, adamw": {"optimizer": "adagrad"},
    "--activation=tanh: unknown; choose from relu": {"network": "mlp", "activation": "tanh"},
    "--early_stop=-1: must be a whole number": {"early_stop": -1},
    "--ema=1.0: must be a number from 0 to": {"ema": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_conflicts_is_refused_in_one_line_that_names_the_flags(message):
    with pytest.raises(UserError) as refusal:
        Config.create(**REFUSED[message])
    assert re.search(message, str(refusal.value)) and "\n" not in str(refusal.value)


def test_a_conditional_model_needs_labels(two_steps, tmp_path):
    with np.load(two_steps) as arrays:
        np.savez(tmp_path / "bare.npz", x_train=arrays["x_train"], x_test=arrays["x_test"])
    with pytest.raises(UserError, match="--conditional: the training images .* have no labels"):
        workflows.train(
            run_dir=tmp_path / "run", data_path=tmp_path / "bare.npz", conditional=True, verbose=0
        )
    assert not (tmp_path / "run").exists()
