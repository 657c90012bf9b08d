"""What a training is given beside a network and its samples: one value for steps, validation and start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from isthmus.augmentation import augment
from isthmus.corruption import corrupt
from isthmus.objective import Objective
from isthmus.parts import Augmentation, Corruption, Training
from isthmus.rng import generator
from isthmus.training.sharding.processes import ALONE, Alone

CLIP = 4.0  # of a denoiser's gradients one in 1,000 is 2.8 times as long as the others, so they are hardly touched


@dataclass(frozen=True, eq=False)
class Setup:
    """How a network is trained.

    objective: in the data's units. seed: order, augmentation and noise are functions of (seed, purpose, epoch).
    image_shape: (channels, height, width) of samples that are images, for corruption and augmentation. threads: of
    steps and of validation, whose bits would be others with more. ids: (n,), what to call the samples in messages, if
    not by their position. is_warm: the weights were fitted before. fallback: weights that are kept in the end, unless
    the validation samples say that an epoch is better by more than chance; refit_gain: the share of their loss that
    will go when they are fitted to all samples. shards: into which each batch is cut. world: the processes that compute
    them.
    """

    training: Training
    objective: Objective
    seed: int
    corruption: Corruption | None = None
    augmentation: Augmentation | None = None
    image_shape: tuple[int, int, int] | None = None
    precision: str = "float32"
    threads: int = 1
    ids: np.ndarray | None = None
    is_warm: bool = False
    fallback: dict[str, torch.Tensor] | None = None
    refit_gain: float = 0.0
    shards: int = 1
    world: Alone = ALONE

    @property
    def clip(self) -> float | None:
        """A gradient's norm is cut to so many times the root mean square of some 1,000 before, by Adam; None: never.

        Under a recipe, where noise is learned: as that shrinks, the gradient of a sample that is ill drawn grows, and
        one step of it left NaN (1 of 3 trainings on 160 faces).
        """
        return CLIP if self.objective.noise is not None and self.training.recipe is not None else None

    def augmented(self, x: torch.Tensor, stream: torch.Generator) -> torch.Tensor:
        """Samples (n, n_features) as a step takes them, input and target alike."""
        return x if self.augmentation is None else augment(self.augmentation, x, stream, self.image_shape)

    def corrupted(self, x: torch.Tensor, stream: torch.Generator) -> torch.Tensor:
        """The input that a network is given for x, (n, n_features)."""
        return x if self.corruption is None else corrupt(self.corruption, x, stream, self.image_shape)

    def pair(self, x: torch.Tensor, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """What a network is given for samples (n, n_features), and what it is to make of them."""
        if self.objective.is_binary and not _are_bits(x):
            x = torch.rand(x.shape, generator=stream, device=x.device, dtype=x.dtype).lt_(x)
        return self.corrupted(x, stream), x

    def validation_pair(self, x: torch.Tensor, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The same of validation samples."""
        return self.pair(x, stream)

    def still_noise(self, device: torch.device) -> torch.Generator:
        """The stream of epoch 0, which no training epoch uses: the same noise whenever it is asked for."""
        return generator(self.seed, "noise", 0, device)


def _are_bits(x: torch.Tensor) -> bool:
    """Whether x is all 0 and 1, which a draw leaves as they are: it would be a twentieth of a step.

    Of a batch on a CPU alone: to ask a GPU is to wait for it.
    """
    return x.device.type == "cpu" and torch.equal(x.square(), x)
