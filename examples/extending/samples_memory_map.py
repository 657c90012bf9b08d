"""Samples that are not resident: given to `Autoencoder.fit`, `partial_fit`, `transform` and the rest like an array."""

import numpy as np
import torch

from isthmus.rng import generator


class MemoryMap:
    """A .npy file of float32 rows, of which a batch is read when it is needed."""

    device = torch.device("cpu")

    def __init__(self, path, seed=0):
        self.rows, self.seed = np.load(path, mmap_mode="r"), seed

    def __len__(self):
        return len(self.rows)

    @property
    def n_features(self):
        return self.rows.shape[1]

    @property
    def fingerprint(self):
        """Equal for equal samples only: a checkpoint is continued with the same samples alone."""
        return f"map of {float(np.float64(self.rows).sum())!r}"

    def batch(self, which):
        return torch.from_numpy(np.array(self.rows[which if isinstance(which, slice) else which.numpy()]))

    def order(self, epoch):
        return torch.randperm(len(self), generator=generator(self.seed, "order", epoch))
