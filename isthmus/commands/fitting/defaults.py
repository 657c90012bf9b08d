"""What is trained when little is said: a network and a training that suit the number and the size of the images."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isthmus.commands.shared.part_syntax import PLUS
from isthmus.errors import RequestError, counted
from isthmus.parts import CORRUPTIONS, NETWORKS, Conv, Corruption, Dense, Dictionary, NetworkPart, Part, Training
from isthmus.parts.corruptions import MEAN
from isthmus.parts.networks import FEW, MAX_EXACT
from isthmus.training.recipe import code_activation, completed, denoiser, fitted_start, output_for

if TYPE_CHECKING:
    from isthmus.data.framing import Framing
    from isthmus.data.images import Images

Shape = tuple[int, int, int]

# Pixels of photographs, which are denoised whole; smaller images go through a code, unless crops are asked for.
LEAST_SIDE, LEAST_CROP = 49, 8
_LARGE = 4096  # numbers in an image from which on convolutions learn faster than dense layers, whose size is its square
_STEPS = 10_000  # updates of the weights after which small networks have mostly learned what they will
# Numbers in a denoiser's code, at least: of scans' patches of 8×8 they had half of the error of 64, which were a linear
# filter; of digits up to 13 % less, and of 50 to 8,000 patches of photographs as much.
WIDE = 512
_LIGHT = 0.5  # of most pixels: above it what is black is no ground
_PATIENT = 500  # updates without progress at the beginning, where a network that is deep may seem to stand still


@dataclass(frozen=True)
class Wanted:
    """What is to be trained on n images of `shape`, as far as it was said.

    n_photographs: from which n patches were cut, for patches of few photographs are few images; None for whole images.
    kind, fields: of the network; given: the network, where it is not to be chosen. training: what was said of it.
    recipe: "fast" or "plain", which chooses the rest of it. plain: the code is what the encoder gives. n_pieces: of
    equal size, into which the code is cut.
    """

    shape: Shape
    n: int
    n_photographs: int | None = None
    kind: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    given: NetworkPart | None = None
    training: dict[str, Any] = field(default_factory=dict)
    recipe: str = "fast"
    corruption: Part | None = None
    penalty: Part | None = None
    loss: Part | None = None
    plain: bool = True
    n_pieces: int = 1

    @property
    def d(self) -> int:
        """Numbers in an image."""
        return math.prod(self.shape)

    def cut(self, size: int) -> int:
        """A size of a code, or as few more as can be cut into its pieces."""
        return math.ceil(size / self.n_pieces) * self.n_pieces

    @property
    def few(self) -> bool:
        """Whether the images are so few that PCA, where a training may begin, knows more than a network learns; so is
        a training that is said to begin there."""
        few = (self.n if self.n_photographs is None else self.n_photographs) < FEW
        return self.plain and (few or self.training.get("start") == "pca")


@dataclass(frozen=True)
class Choice:
    """A network, and arguments of `Autoencoder`; why: the sentence that says what was chosen, and why."""

    network: NetworkPart
    training: dict[str, Any]
    why: str


def choose(wanted: Wanted) -> Choice:
    """Fill in what was not said. A denoiser's code is wide, for the noise is what it has to get past.

    A plain autoencoder's is narrow. Raises RequestError for fields that no network can have.
    """
    explicit, kind = wanted.training, wanted.kind or ("conv" if wanted.d > _LARGE else "dense")
    network, reason = _NETWORK.get(kind, _registered)(wanted)
    network = dataclasses.replace(network, **wanted.fields) if wanted.given is None else wanted.given
    # what a denoiser has to be better than is known at any number of images
    few = wanted.few or (wanted.plain and wanted.corruption is not None and wanted.d <= MAX_EXACT)
    start = fitted_start(network, wanted.penalty, wanted.corruption, few=few)
    chosen = _RECIPES[wanted.recipe](wanted, network, {"start": start, **explicit}) | explicit
    ends_low = chosen.get("schedule", Training().schedule) != "constant"
    choices = []
    if wanted.given is None and not (wanted.kind and set(wanted.fields) >= {"hidden", "bottleneck"}):
        choices.append(f"{network!r}{'' if wanted.fields else f', {reason}'}")
    patience = f"stopping {counted(int(chosen['patience']), 'epoch')} after the best"
    filtered = "weights scaled to the images at the start, PCA's filter where no epoch is better"
    starts = _STARTS if wanted.corruption is None else _STARTS | {"pca": filtered}
    words = {
        "batch_size": f"batches of {chosen['batch_size']}",
        "epochs": f"{'' if ends_low else 'at most '}{counted(int(chosen['epochs']), 'epoch')}",
        "patience": "keeping the best" if chosen["patience"] >= chosen["epochs"] else patience,
        "learning_rate": f"a learning rate of {chosen['learning_rate']:.2g}",
        "schedule": f"{chosen.get('schedule')}",
        "start": starts.get(chosen.get("start", ""), ""),
    }
    if free := [words[name] for name in chosen if name in words and name not in explicit and words[name]]:
        choices.append(", ".join(free))
    images = f"{counted(wanted.n, 'image')} of {'×'.join(map(str, wanted.shape))}"
    return Choice(network, chosen, f"chosen for {images}: {'; '.join(choices)}" if choices else "")


_STARTS = {"data": "weights scaled to the images at the start", "pca": "from PCA's solution"}


def _fast(wanted: Wanted, network: NetworkPart, explicit: dict[str, Any]) -> dict[str, Any]:
    """What `training.recipe` chooses. It does not stop early: a cycle is worth little without its end, but at PCA's."""
    samples = (wanted.n, wanted.d)
    training = completed({**explicit, "recipe": "fast"}, network, wanted.penalty, samples, wanted.corruption)
    names = ("batch_size", "epochs", "learning_rate", "schedule", "start", "standardize")
    return {**{name: getattr(training, name) for name in names}, "patience": training.patience or training.epochs}


def _plain(wanted: Wanted, network: NetworkPart, explicit: dict[str, Any]) -> dict[str, Any]:
    """A constant rate, until the validation loss no longer falls."""
    n = wanted.n
    batch_size = explicit.get("batch_size") or (128 if n >= 10_000 else 64 if n >= 2000 else 32 if n >= 500 else 16)
    steps = math.ceil(n / batch_size)  # of an epoch
    epochs = explicit.get("epochs") or min(600, max(5, round(_STEPS / steps)))
    ends_low = explicit.get("schedule", Training().schedule) != "constant"
    return {
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": epochs if ends_low else max(5, epochs // 10, min(epochs // 3, round(_PATIENT / steps))),
        # few images are few steps, which have to be larger
        "learning_rate": Training().learning_rate if n >= 2000 else 3e-3,
        # from random weights, a sigmoid that has to draw much background saturates in the first steps, and stays there
        "start": explicit["start"],
        "standardize": True,
    }


_RECIPES = {"fast": _fast, "plain": _plain}


def _dense(wanted: Wanted) -> tuple[NetworkPart, str]:
    d = wanted.d
    if wanted.penalty is not None:  # a sparse code is a wide one of which little is on
        return Dense(
            (), min(1024, 2 * d), code_activation=code_activation(wanted.penalty), output="sigmoid"
        ), "a wide code for the penalty to make sparse"
    if wanted.corruption is not None:
        wide = 2 ** math.ceil(math.log2(min(1024, max(WIDE, d))))
        return denoiser(wanted.loss, wanted.cut(wide)), "one wide layer, because the noise is what is hard"
    wide = 2 ** round(math.log2(min(512, max(64, d))))
    size = wanted.cut(min(64, max(4, round(math.sqrt(d)))))
    # few images are no better learned than by PCA, whose solution a network with a linear output can start at
    output = output_for(wanted.loss) if wanted.few else "sigmoid"
    narrow = wide // 2
    if wanted.few:  # each number of a code of any size that was said takes two units of a layer
        narrow = max(narrow, 2 * (wanted.fields.get("bottleneck") or size))
    return Dense(
        (max(wide, narrow), narrow), size, code_activation="linear", output=output
    ), "a code of about the root of the pixels"


def _conv(wanted: Wanted) -> tuple[NetworkPart, str]:
    depth = max(1, min(3, int(math.log2(min(wanted.shape[1:]))) - 1))  # to a map of two pixels or more, at most by 8
    channels = (32, 64, 64)[:depth] if wanted.corruption is not None else (16, 32, 8)[-depth:]
    channels = (*channels[:-1], wanted.cut(channels[-1]))
    reason = f"{depth} convolution{'s' * (depth > 1)}, each of which halves the image"
    return Conv(channels, code_activation=code_activation(wanted.penalty), output="sigmoid"), reason


def _dictionary(wanted: Wanted) -> tuple[NetworkPart, str]:
    d = wanted.d
    return Dictionary((min(1024, 2 * d),), min(1024, 2 * d)), "twice as many atoms as pixels, at most 1,024"


def _registered(wanted: Wanted) -> tuple[NetworkPart, str]:
    return NETWORKS[str(wanted.kind)](**wanted.fields), "by its own defaults"


_NETWORK = {"dense": _dense, "conv": _conv, "dictionary": _dictionary}


def crop_for(side: int) -> int:
    """The side of crops, even, that a denoiser of small images is to learn from, given their shorter side.

    Of 126 scans of 40×52 under gaussian:0..0.2, two epochs of crops of 32 left 30.8 dB at 0.1, and a code for 0.1 24.5.
    """
    return min(32, side // 2 * 2)


def check_patches(framing: Framing, corruption: Corruption | None) -> None:
    """Raise RequestError for patches under a corruption of which each photograph would have one region, and each patch
    to train on one of its own: what is measured and restored would be unlike all that was trained on."""
    if framing.patches and corruption is not None and corruption.takes_one_region:
        raise RequestError(
            f"--patches {'x'.join(map(str, framing.patches))} with {corruption.label}: one region of a photograph is "
            "missing, but every patch to train on would miss one, and patches without one would be unlike all of "
            "them; leave --patches out, and bring photographs of several sizes to one with --resize or --crop"
        )


def fill_with_the_mean(text: str, images: Images) -> str:
    """The words of a corruption, in which missing pixels of light images are their image's mean where nothing is said.

    Black squares on white pages would be the strongest strokes of all, and what is learned is to find them.
    """
    import numpy as np

    from isthmus import console

    words = PLUS.split(text)
    filling = [word for word, kind in CORRUPTIONS.items() if kind.fills]
    unsaid = [word for word in words if word.split(":")[0] in filling and word.count(":") == 1]
    which = np.linspace(0, len(images) - 1, min(len(images), 500)).round().astype(int)
    if not unsaid or np.median(images.floats(which)) <= _LIGHT:
        return text
    filled = "+".join(f"{word}:value={MEAN}" if word in unsaid else word for word in words)
    console.say(f"the images are light, so missing pixels become the mean of their image: --corruption {filled}")
    return filled
