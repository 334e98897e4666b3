"""The preset `mlp20` beside the same VAE written in PyTorch: training loss, epoch by epoch, speed.

    python benchmarks/classic_mlp.py --data_path mnist.npz

The peer is the classic example: 784-400-20-400-784, Adam 1e-3, batches of 128, binary cross-entropy
of grey levels plus the KL in closed form, 15 epochs. It reads pictures one by one in a worker
process, as the example does by torchvision; tensors by a `DataLoader`; and by indexing tensors,
which is the fastest way. Needs torch and pillow. Writes classic_mlp.json and classic_mlp.md to
--output.
"""

import argparse
import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from shared import PROJECT, describe_machine, run_process, write_report

HERE = Path(__file__).parent
EPOCHS, BATCH, REPETITIONS = 15, 128, 3
SHORT = 3  # epochs of the runs in turn whose speeds are compared
PEERS = {
    "pictures": "PyTorch, as its example reads: pictures, one worker",
    "loader": "PyTorch, `DataLoader` of tensors",
    "tensors": "PyTorch, indexed tensors",
}


def train_peer(data_path: str, batches: str, epochs: int, seed: int) -> None:
    """Trains the classic example in PyTorch; prints a JSON line after each epoch."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(seed)
    with np.load(data_path, allow_pickle=False) as arrays:
        levels = torch.from_numpy(arrays["x_train"])
    images = levels.reshape(-1, 784).float() / 255

    class Vae(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc21, self.fc22 = (
                nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20),
            )  # fmt: skip
            self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

        def forward(self, x):
            hidden = functional.relu(self.fc1(x))
            mean, logvar = self.fc21(hidden), self.fc22(hidden)
            latents = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
            return torch.sigmoid(self.fc4(functional.relu(self.fc3(latents)))), mean, logvar

    class Pictures(torch.utils.data.Dataset):
        """What torchvision does for MNIST with `ToTensor`: array, picture, tensor."""

        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            from PIL import Image

            picture = Image.fromarray(levels[index].numpy(), mode="L")
            tensor = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(28, 28, 1)
            return tensor.permute((2, 0, 1)).contiguous().to(torch.float32).div(255)

    def indexed():
        for rows in torch.randperm(len(images)).split(BATCH):
            yield images[rows]

    model = Vae()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    shuffled = {"batch_size": BATCH, "shuffle": True}
    batches_of = {
        "pictures": torch.utils.data.DataLoader(Pictures(), num_workers=1, **shuffled),
        "loader": torch.utils.data.DataLoader(images, **shuffled),
    }

    for _ in range(epochs):
        start, sums = time.perf_counter(), np.zeros(2)
        for batch in batches_of.get(batches) or indexed():
            batch = batch.view(-1, 784)
            optimizer.zero_grad()
            drawn, mean, logvar = model(batch)
            error = functional.binary_cross_entropy(drawn, batch, reduction="sum")
            kl = -0.5 * torch.sum(1 + logvar - mean.pow(2) - logvar.exp())
            (error + kl).backward()
            optimizer.step()
            sums += error.item(), kl.item()
        error, kl = sums / len(images)
        seconds = time.perf_counter() - start
        line = {"loss": error + kl, "cross_entropy": error, "kl": kl, "seconds": seconds}
        print(json.dumps(line), flush=True)


def run_peer(data_path: Path, batches: str, epochs: int, seed: int = 0) -> list[dict[str, float]]:
    """Trains the peer in a process of its own; its epochs."""
    flags = ["--data_path", str(data_path), "--peer", batches, "--epochs", str(epochs)]
    output = run_process([str(Path(__file__).resolve()), *flags, "--seed", str(seed)]).output
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def run_ours(data_path: Path, epochs: int, seed: int = 0) -> list[dict[str, float]]:
    """Trains the preset; its epochs, with losses of the training images as the peer has them."""
    with tempfile.TemporaryDirectory() as work:
        run_dir = Path(work) / "run"
        flags = ["--preset=mlp20", f"--epochs={epochs}", f"--seed={seed}", f"--run_dir={run_dir}"]
        run_process([str(PROJECT / "train.py"), f"--data_path={data_path}", *flags])
        with (run_dir / "metrics.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    return [
        {
            "loss": -float(row["train_objective"]),
            "test_cross_entropy": -float(row["test_negative_cross_entropy"]),
            "test_kl": float(row["test_kl"]),
            "seconds": float(row["train_seconds"]),
        }
        for row in rows
    ]


def measure(data_path: Path) -> dict[str, Any]:
    """Runs everything: long runs for the losses, short ones in turn for the speeds."""
    results = {
        "machine": describe_machine(),
        "ours": run_ours(data_path, EPOCHS),
        "peer": run_peer(data_path, "tensors", EPOCHS),
        "seconds": {name: [] for name in ("ours", *PEERS)},
    }
    for _ in range(REPETITIONS):
        results["seconds"]["ours"].append(run_ours(data_path, SHORT)[-1]["seconds"])
        for peer in PEERS:
            results["seconds"][peer].append(run_peer(data_path, peer, SHORT)[-1]["seconds"])
    return results


def as_table(results: dict[str, Any]) -> str:
    """Writes the losses beside each other, and the speeds."""
    seconds = {name: float(np.median(values)) for name, values in results["seconds"].items()}
    lines = [
        f"{results['machine']}. Seconds of an epoch: medians of {REPETITIONS} runs in turn.", "",
        "| | seconds of an epoch | `mlp20` is faster by |", "| --- | --- | --- |",
        f"| `--preset=mlp20` | {seconds['ours']:.2f} | |",
    ]  # fmt: skip
    for peer, label in PEERS.items():
        ratio = np.median(np.divide(results["seconds"][peer], results["seconds"]["ours"]))
        lines.append(f"| {label} | {seconds[peer]:.2f} | {ratio:.1f} |")
    lines += [
        "", "Training loss per image, nats: cross-entropy + KL, mean over the epoch.", "",
        "| epoch | `mlp20` | PyTorch | of which cross-entropy, KL | difference |",
        "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for epoch, (ours, peer) in enumerate(zip(results["ours"], results["peer"], strict=True), 1):
        parts = f"{peer['cross_entropy']:.2f}, {peer['kl']:.2f}"
        difference = 100 * (ours["loss"] / peer["loss"] - 1)
        lines.append(
            f"| {epoch} | {ours['loss']:.2f} | {peer['loss']:.2f} | {parts} | {difference:+.2f} % |"
        )
    last = results["ours"][-1]
    lines += [
        "",
        f"`mlp20` on the test images: cross-entropy {last['test_cross_entropy']:.2f}, KL "
        f"{last['test_kl']:.2f} nats per image.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes the two files; or is the peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_path", type=Path, required=True, help="MNIST as an .npz of Keras")
    parser.add_argument("--output", type=Path, default=HERE, help="a folder for the two files")
    parser.add_argument("--peer", choices=list(PEERS), help="used by the program itself")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="used by the program itself")
    parser.add_argument("--seed", type=int, default=0, help="used by the program itself")
    arguments = parser.parse_args()
    if arguments.peer:
        train_peer(str(arguments.data_path), arguments.peer, arguments.epochs, arguments.seed)
        return
    results = measure(arguments.data_path.resolve())
    write_report(arguments.output, "classic_mlp", results, as_table)


if __name__ == "__main__":
    main()
