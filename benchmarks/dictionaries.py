"""A dictionary by isthmus and by scikit-learn: the same images, atoms, batch size and objective.

    python -m benchmarks.dictionaries [--images 10000] [--repeats 3] [--threads 2] [--json FILE] [--readme]

Both make ½‖x - code @ atoms‖² + α Σ code small, on MNIST, with codes that are not negative. scikit-learn's
MiniBatchDictionaryLearning (Mairal, Bach, Ponce, Sapiro 2009) searches the code of each image, in training and after.
isthmus learns an encoder beside the atoms, and a code is one pass of it: not quite the best code, but so fast that it
can go through the images more often in less time. It does; what it makes of as few epochs is shown too.

How many atoms are on for an image is what the encoder makes it. Searches get the α with which as many are on, found on
images of their own, so that all but the row of few epochs are compared at one sparsity. isthmus' atoms are coded both
ways: that tells what of an error is the encoder's and what the atoms'. All images are MNIST's training images; those
that are measured are held out. scikit-learn uses one core: its n_jobs does not pay for 64 images. In each round each
has its turn. MNIST is looked for where `isthmus data list` looks. --readme puts the table into README.md.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import sys
import time
import warnings
from dataclasses import dataclass

import numpy as np
import sklearn
import torch
from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode
from sklearn.exceptions import ConvergenceWarning

from benchmarks import readme
from isthmus import L1, Autoencoder, Dictionary, Images, IsthmusError, load_dataset
from isthmus.data.splits import split_dataset
from isthmus.metrics import l0

N_ATOMS, BATCH_SIZE = 256, 64
ALPHA = 0.5  # some twenty atoms for a digit
EPOCHS, FEW_EPOCHS = 40, 2
HELD_OUT, FOR_ALPHA = 2000, 500  # images that are measured, and images on which α is found


@dataclass(frozen=True)
class Measured:
    """One row in one round. fit, coding: seconds, of the held-out images; on: atoms for an image; error: MSE."""

    epochs: int
    fit: float
    coding: float
    on: float
    error: float


def fit_isthmus(images: Images, epochs: int, seed: int) -> tuple[Autoencoder, float]:
    """The model and its seconds. isthmus averages the squared error over pixels, and so α is divided by half of them.

    The penalty grows over most of the epochs: with all of it at once, while no atom is of use yet, two thirds of them
    are turned off for good.
    """
    model = Autoencoder(
        Dictionary(n_atoms=N_ATOMS),
        penalty=L1(2 * ALPHA / images.n_features, warmup=0.75 * epochs),
        schedule="one-cycle",
        learning_rate=3e-3,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        random_state=seed,
    )
    start = time.perf_counter()
    model.fit(images)
    return model, time.perf_counter() - start


def fit_scikit_learn(images: Images, epochs: int, seed: int) -> tuple[np.ndarray, float]:
    """The atoms, (n_atoms, n_features), and the seconds, with the fastest of its options.

    Its default, least-angle regression for codes with signs, took more than ten times as long.
    """
    model = MiniBatchDictionaryLearning(
        N_ATOMS,
        alpha=ALPHA,
        max_iter=epochs,
        batch_size=BATCH_SIZE,
        fit_algorithm="cd",
        positive_code=True,
        max_no_improvement=None,
        random_state=seed,
    )
    x = _doubles(images)
    start = time.perf_counter()
    model.fit(x)
    return model.components_, time.perf_counter() - start


def _doubles(images: Images) -> np.ndarray:
    # in float32 its coordinate descent never comes below its tolerance: 1,000 iterations each, 2.5 to 6 times as long
    return images.floats().astype(np.float64)


def searched(x: np.ndarray, atoms: np.ndarray, alpha: float) -> np.ndarray:
    """Codes by coordinate descent. x: (n, n_features) → (n, n_atoms)."""
    return sparse_encode(x, atoms, algorithm="lasso_cd", alpha=alpha, positive=True)


def alpha_for(on: float, x: np.ndarray, atoms: np.ndarray) -> float:
    """The α with which so many atoms are on for the mean image of x, by bisection of its logarithm."""
    low, high = math.log(0.01), math.log(10)
    for _ in range(9):
        middle = (low + high) / 2
        if l0(searched(x, atoms, math.exp(middle))).mean() > on:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


@dataclass(frozen=True)
class Task:
    """What is learned from, what is measured, and on what α is found."""

    images: Images
    held_out: Images
    for_alpha: Images

    def encoded(self, model: Autoencoder, epochs: int, fit: float) -> Measured:
        """What one pass of the encoder makes of the held-out images."""
        start = time.perf_counter()
        code = model.transform(self.held_out)
        return self._measured(epochs, fit, time.perf_counter() - start, code, atoms_of(model))

    def coded(self, atoms: np.ndarray, epochs: int, fit: float, on: float) -> Measured:
        """What a search makes of the held-out images, with so many atoms on for the mean image."""
        atoms = atoms.astype(np.float64)
        alpha, x = alpha_for(on, _doubles(self.for_alpha), atoms), _doubles(self.held_out)
        start = time.perf_counter()
        code = searched(x, atoms, alpha)
        return self._measured(epochs, fit, time.perf_counter() - start, code, atoms)

    def _measured(self, epochs: int, fit: float, coding: float, code: np.ndarray, atoms: np.ndarray) -> Measured:
        error = np.square(code @ atoms - self.held_out.floats()).mean(dtype=np.float64)
        return Measured(epochs, fit, coding, float(l0(code).mean()), float(error))

    def one_round(self, seed: int) -> dict[str, Measured]:
        """All rows."""
        few, few_seconds = fit_isthmus(self.images, FEW_EPOCHS, seed)
        model, seconds = fit_isthmus(self.images, EPOCHS, seed)
        theirs, their_seconds = fit_scikit_learn(self.images, FEW_EPOCHS, seed)
        on = float(l0(model.transform(self.for_alpha)).mean())
        return {
            "isthmus": self.encoded(model, EPOCHS, seconds),
            "isthmus' atoms, codes searched": self.coded(atoms_of(model), EPOCHS, seconds, on),
            "scikit-learn": self.coded(theirs, FEW_EPOCHS, their_seconds, on),
            "isthmus, as few epochs": self.encoded(few, FEW_EPOCHS, few_seconds),
        }


def atoms_of(model: Autoencoder) -> np.ndarray:
    """(n_atoms, n_features)."""
    return model.network_.atoms.detach().numpy()


def table(rounds: list[dict[str, Measured]]) -> list[str]:
    """Medians and ranges as Markdown."""
    lines = [
        f"| | epochs | fit, s (range) | coding {HELD_OUT:,} images, s | atoms on | held-out MSE (range) |",
        "|---|---|---|---|---|---|",
    ]
    for name, first in rounds[0].items():
        mine = [one[name] for one in rounds]
        coding, on = statistics.median(one.coding for one in mine), statistics.median(one.on for one in mine)
        fit = readme.spread([one.fit for one in mine], 1)
        error = readme.spread([one.error for one in mine], 4)
        lines.append(f"| {name} | {first.epochs} | {fit} | {coding:.2g} | {on:.1f} | {error} |")
    return lines


def main() -> None:
    parser = readme.arguments("benchmarks.dictionaries", "isthmus and scikit-learn.")
    parser.add_argument("--images", type=int, default=10_000, help="trained on (10000)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        splits = split_dataset(load_dataset("mnist"), train=options.images, validation=HELD_OUT + FOR_ALPHA, seed=0)
    except IsthmusError as error:
        sys.exit(f"benchmarks: {error}")
    images, kept = splits["train"], splits["validation"]
    task = Task(images, kept.take(slice(0, HELD_OUT)), kept.take(slice(HELD_OUT, None)))
    # of thousands of searches a few dozen end a little above their tolerance
    warnings.simplefilter("ignore", ConvergenceWarning)
    few = images.take(slice(0, 4 * BATCH_SIZE))  # for what is imported or made when first used
    fit_scikit_learn(few, 1, 0)
    fit_isthmus(few, 1, 0)[0].transform(few)
    rounds = []
    for seed in range(options.repeats):
        rounds.append(task.one_round(seed))
        print(f"round {seed + 1} of {options.repeats} is done", file=sys.stderr)
    about = (
        f"{readme.conditions(f'{options.repeats} rounds', options.threads)}, scikit-learn {sklearn.__version__}; "
        f"{N_ATOMS} atoms, {options.images:,} images in batches of {BATCH_SIZE}, α = {ALPHA:g}."
    )
    lines = [*table(rounds), "", about]
    print("\n".join(lines))
    if options.json:
        facts = {"threads": options.threads, "torch": torch.__version__, "scikit-learn": sklearn.__version__}
        measured = [{name: dataclasses.asdict(one) for name, one in each.items()} for each in rounds]
        options.json.write_text(json.dumps({**facts, "images": options.images, "rounds": measured}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.dictionaries", lines)


if __name__ == "__main__":
    main()
