"""isthmus beside pythae, PyOD and Lightning: the same model, images, batch size and epochs.

    make bench-alternatives  # puts them into a venv of their own, build/alternatives, and runs with --readme
    python -m benchmarks.alternatives [--images 50000] [--epochs 2] [--repeats 3] [--threads 2] [--json FILE] [--readme]

The network dense-64 (784 → 64 ReLU → 784 sigmoid, mean squared error, Adam at 1e-3, batches of 64), by each package's
own trainer, with what it does besides turned off: logging, checkpoints, dropout, batch norm, weight decay. Seconds are
of the training, whole; the error is of 10,000 held-out training images. In each round each has its turn. MNIST is
looked for where `isthmus data list` looks. --readme puts the table into README.md.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import readme
from benchmarks.recipes import NETWORKS
from isthmus import Autoencoder, Images, IsthmusError, load_dataset
from isthmus.data.splits import split_dataset

HELD_OUT = 10_000
RATE, BATCH_SIZE = 1e-3, 64

# (training images, epochs, seed) → (seconds, what draws images anew: (n, 784) float32 → (n, 784))
Fit = Callable[[Images, int, int], tuple[float, Callable[[np.ndarray], np.ndarray]]]


def dense_64() -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder, as torch builds and starts them."""
    return nn.Sequential(nn.Linear(784, 64), nn.ReLU()), nn.Sequential(nn.Linear(64, 784), nn.Sigmoid())


def drawn_by(model: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """The reconstructions of a torch module."""

    def draw(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model.eval()(torch.from_numpy(x)).numpy()

    return draw


def fit_isthmus(images: Images, epochs: int, seed: int) -> tuple[float, Callable[[np.ndarray], np.ndarray]]:
    network, precision = NETWORKS["dense-64"], "float32"  # as the others train, on every processor
    model = Autoencoder(network, epochs=epochs, batch_size=BATCH_SIZE, precision=precision, random_state=seed)
    start = time.perf_counter()
    model.fit(images)
    seconds = time.perf_counter() - start
    return seconds, lambda x: model.reconstruct(x.reshape(-1, 1, 28, 28)).reshape(-1, 784)


def fit_pythae(images: Images, epochs: int, seed: int) -> tuple[float, Callable[[np.ndarray], np.ndarray]]:
    """pythae sums the squared error over pixels where the others average; to Adam that is the same."""
    from pythae.models import AE, AEConfig

    torch.manual_seed(seed)
    layers, config = dense_64(), AEConfig(input_dim=(784,), latent_dim=64)
    seconds = train_by_pythae(partial(AE, config), layers, lambda z: {"embedding": z}, images.floats(), epochs, seed)
    return seconds, drawn_by(nn.Sequential(*layers))


def train_by_pythae(
    model: Callable[[Any, Any], Any],
    layers: tuple[nn.Module, nn.Module],
    named: Callable[[torch.Tensor], dict[str, torch.Tensor]],
    x: np.ndarray,
    epochs: int,
    seed: int,
) -> float:
    """Seconds of its trainer. layers: encoder and decoder. named: what the encoder gives, by the names it has there."""
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers[0]

        def forward(self, x: torch.Tensor) -> Any:
            return ModelOutput(**named(self.layers(x)))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers[1]

        def forward(self, z: torch.Tensor) -> Any:
            return ModelOutput(reconstruction=self.layers(z))

    logging.getLogger("pythae").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:  # in which it leaves the model, pickled
        config = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH_SIZE,
            num_epochs=epochs,
            learning_rate=RATE,
            keep_best_on_train=True,  # it keeps the best in any case, by the validation images or else by these
            seed=seed,
            no_cuda=True,
        )
        data = BaseDataset(torch.from_numpy(x), torch.zeros(len(x)))
        trainer = BaseTrainer(model(Encoder(), Decoder()), data, training_config=config)
        start = time.perf_counter()
        trainer.train()
        return time.perf_counter() - start


def fit_pyod(images: Images, epochs: int, seed: int) -> tuple[float, Callable[[np.ndarray], np.ndarray]]:
    """Its own model cannot end in a sigmoid, so it is given this one. Timed without the outlier scores that follow."""
    from pyod.models.auto_encoder import AutoEncoder

    class Dense64(AutoEncoder):
        def build_model(self) -> None:
            self.model = nn.Sequential(*dense_64())

        def train(self, train_loader: Any) -> None:
            start = time.perf_counter()
            super().train(train_loader)
            self.seconds = time.perf_counter() - start

    detector = Dense64(
        preprocessing=False,
        lr=RATE,
        epoch_num=epochs,
        batch_size=BATCH_SIZE,
        optimizer_params={},
        device="cpu",
        random_state=seed,
        verbose=0,
    )
    detector.fit(images.floats())
    return detector.seconds, drawn_by(detector.model)


def fit_lightning(images: Images, epochs: int, seed: int) -> tuple[float, Callable[[np.ndarray], np.ndarray]]:
    import lightning

    class Dense64(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*dense_64())

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            (x,) = batch
            return nn.functional.mse_loss(self.layers(x), x)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=RATE)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(seed)
    model = Dense64()
    loader = DataLoader(TensorDataset(torch.from_numpy(images.floats())), batch_size=BATCH_SIZE, shuffle=True)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    start = time.perf_counter()
    trainer.fit(model, loader)
    seconds = time.perf_counter() - start
    return seconds, drawn_by(model.layers)


# Each with the package whose version is printed; isthmus comes first, and the others are held against it.
FITS: dict[str, tuple[str, Fit]] = {
    "isthmus Autoencoder": ("isthmus", fit_isthmus),
    "pythae BaseTrainer": ("pythae", fit_pythae),
    "PyOD AutoEncoder": ("pyod", fit_pyod),
    "Lightning Trainer": ("lightning", fit_lightning),
}


def rounds(images: Images, held_out: np.ndarray, epochs: int, repeats: int) -> dict[str, list[dict[str, float]]]:
    """Seconds and held-out error of each, in turns."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in FITS}
    with quiet():
        for _, fit in FITS.values():
            fit(images.take(slice(0, 2 * BATCH_SIZE)), 1, 0)  # imports, and whatever is made when first used
        for seed in range(repeats):
            for name, (_, fit) in FITS.items():
                seconds, draw = fit(images, epochs, seed)
                error = float(np.square(draw(held_out) - held_out).mean(dtype=np.float64))
                measured[name].append({"seconds": seconds, "error": error})
    return measured


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without their progress bars, hints and deprecations."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def missing(packages: Iterable[str]) -> str:
    """What to say of those that are not installed; "" where all are."""
    names = ", ".join(package for package in packages if not _installed(package))
    return f"benchmarks: {names} not installed; `make bench-alternatives` does, apart from the rest" if names else ""


def held_out_and_rest(n: int) -> tuple[np.ndarray, Images]:
    """Training images of MNIST: (10000, 784) that are held out, and n others. Ends the program where there are none."""
    try:
        splits = split_dataset(load_dataset("mnist"), train=n, validation=HELD_OUT, seed=0)
    except IsthmusError as error:
        sys.exit(f"benchmarks: {error}")
    return splits["validation"].floats(), splits["train"]


def table(measured: dict[str, list[dict[str, float]]]) -> list[str]:
    """Medians and ranges as Markdown."""
    lines = ["| | version | seconds (range) | times isthmus' (range) | held-out MSE (range) |", "|---|---|---|---|---|"]
    ours = [one["seconds"] for one in next(iter(measured.values()))]
    for name, (package, _) in FITS.items():
        seconds = [one["seconds"] for one in measured[name]]
        times = [theirs / own for theirs, own in zip(seconds, ours, strict=True)]
        errors = [one["error"] for one in measured[name]]
        ratio = "1" if seconds == ours else readme.spread(times, 1)
        spreads = [readme.spread(seconds, 2), ratio, readme.spread(errors, 5)]
        lines.append(f"| {' | '.join([name, importlib.metadata.version(package), *spreads])} |")
    return lines


def main() -> None:
    parser = readme.arguments("benchmarks.alternatives", "isthmus and others.")
    parser.add_argument("--images", type=int, default=50_000, help="trained on (50000)")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    if lacking := missing(package for package, _ in FITS.values()):
        sys.exit(lacking)
    torch.set_num_threads(options.threads)
    held_out, images = held_out_and_rest(options.images)
    measured = rounds(images, held_out, options.epochs, options.repeats)
    about = (
        f"{readme.conditions(f'{options.repeats} rounds', options.threads)}; "
        f"{options.epochs} epochs of {options.images:,} images."
    )
    lines = [*table(measured), "", about]
    print("\n".join(lines))
    if options.json:
        facts = {"images": options.images, "epochs": options.epochs, "threads": options.threads}
        text = json.dumps({**facts, "torch": torch.__version__, "rounds": measured}, indent=1)
        options.json.write_text(text, "utf-8")
    if options.readme:
        readme.put("benchmarks.alternatives", lines)


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
