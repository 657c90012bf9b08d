"""What an autoencoder can do whose code is more than numbers: sample from its prior, or be indices of a codebook."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_array, check_is_fitted

from isthmus.data.batches import black_and_white, floats
from isthmus.errors import RequestError
from isthmus.estimators.inference import for_inference, infer
from isthmus.estimators.parameters import Composed
from isthmus.estimators.samples import in_range, samples_for, samples_of
from isthmus.networks import Code, Network, Term
from isthmus.objective import Objective
from isthmus.parts import checks
from isthmus.rng import content_generators, generator, seed_from

_DRAWS, _NUMBERS = 2048, 2**22  # decoded at a time, at most: bounded memory for any number of draws


class Generative(Composed):
    """An autoencoder as a model of where its samples come from: a code of the prior, and the decoder."""

    network_: Network
    image_shape_: tuple[int, int, int] | None
    seed_: int

    def _shaped(self, x_hat: np.ndarray) -> np.ndarray:
        return x_hat if self.image_shape_ is None else x_hat.reshape(-1, *self.image_shape_)

    def _prior(self) -> Any:
        """The code of the fitted network. Raises RequestError for one without a prior."""
        check_is_fitted(self)
        code = self.network_.code
        if type(code).prior is Code.prior:
            part = self.network_.code_part
            raise RequestError(f"code {part!r} has no prior to sample from; fit with code=Gaussian()")
        return code

    def sample(self, n: int = 1, random_state: Any = None, *, noise: bool = False) -> np.ndarray:
        """What the decoder makes of n codes of the prior: (n, n_features), or images if `fit` saw images.

        Of loss "bce" they are probabilities. noise: whether to sample x around that too, as `log_likelihood` takes it
        to be: with the noise of the loss, or the one that was learned, of "bce" as 0 or 1. Raises RequestError for a
        code without a prior, as all of the package's but `Gaussian` are.

        >>> import numpy as np
        >>> from isthmus import Autoencoder, Dense, Gaussian
        >>> X = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
        >>> model = Autoencoder(Dense(bottleneck=2), code=Gaussian(), epochs=2, random_state=0).fit(X)
        >>> model.sample(3, random_state=0).shape, model.log_likelihood(X, n_samples=10).shape
        ((3, 5), (64,))
        """
        checks.count("n", n)
        prior, seed = self._prior(), seed_from(random_state)
        x_hat = infer(self, prior.prior(n, generator(seed, "latent")).numpy(), lambda network, z: network.decode(z))
        return self._shaped(self._noisy(x_hat, generator(seed, "noise")) if noise else x_hat)

    def _noisy(self, x_hat: np.ndarray, stream: torch.Generator) -> np.ndarray:
        loss, learned = self.part("loss"), self.network_.code.noise
        if loss.bounded:
            return (torch.rand(x_hat.shape, generator=stream).numpy() < x_hat).astype(x_hat.dtype)
        if not loss.is_squared:
            raise RequestError(f"loss {loss!r} has no noise to sample from; leave noise out")
        variance = 0.5 / loss.weight if learned is None else float(learned.variance)
        return x_hat + math.sqrt(variance) * torch.randn(x_hat.shape, generator=stream).numpy()

    def log_likelihood(
        self, X: Any, n_samples: int = 5000, *, on_progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """log p(x) of each sample in nats, (n,), by importance sampling from the encoder's Gaussian.

        log mean_k p(x | code_k) p(code_k) / q(code_k | x) is a lower bound on average, which rises with n_samples to
        log p(x) (Burda, Grosse, Salakhutdinov 2016). The draws depend on the seed of the fit and on the sample alone.
        Of loss "mse" it is the density in the data's units. Of loss "bce" it is that of binary samples, whatever it was
        trained on: grey ones are drawn as such first, once and for all. on_progress: called with (samples done,
        samples) as they are done. Raises RequestError for a code without a prior, and of "bce" for samples outside of
        [0, 1].
        """
        checks.count("n_samples", n_samples)
        if type(self._prior()).draw is Code.draw:
            code = type(self.network_.code).__name__
            raise RequestError(
                f"code {self.network_.code_part!r} has a prior and no likelihood: {code} has no draw(z, noise) that "
                "gives codes of a sample"
            )
        X, _ = samples_of(self, X, reset=False)
        network, device, dtype = for_inference(self, X)
        objective = Objective(self.part("loss"), in_nats=True, noise=network.code.noise)
        if objective.loss.bounded:
            in_range(X, network.part, bounded=True)
        piece = max(1, min(_DRAWS, _NUMBERS // network.n_features, n_samples))
        group = max(1, min(_DRAWS, _NUMBERS // network.n_features) // piece)  # samples at a time
        result = np.empty(len(X), np.float64)
        with torch.inference_mode():
            for start in range(0, len(X), group):
                which = slice(start, min(start + group, len(X)))
                x = floats(X, which).to(device, dtype)
                result[which] = _log_likelihood(network, objective, x, self.seed_, n_samples, piece)
                if on_progress is not None:
                    on_progress(which.stop, len(X))
        return result.astype(np.float64 if dtype == torch.float64 else np.float32)


class OfCodebooks(Composed):
    """An autoencoder whose codes are vectors of codebooks, each known by its index."""

    network_: Network
    device_: str

    def indices(self, X: Any) -> np.ndarray:
        """Which vector of its codebook each piece of the code is, (n, n_parts) integers from 0.

        Of a code that is maps (n, n_parts * height * width): those of each part at all places, one part after the
        other. `inverse_transform` decodes them. Raises RequestError for a code that is not `Quantized`.

        >>> import numpy as np
        >>> from isthmus import Autoencoder, Dense, Quantized
        >>> X = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
        >>> model = Autoencoder(Dense(bottleneck=4), code=Quantized(8, n_parts=2), epochs=2, random_state=0).fit(X)
        >>> indices = model.indices(X)
        >>> indices.shape, np.array_equal(model.inverse_transform(indices), model.inverse_transform(model.transform(X)))
        ((64, 2), True)
        """
        check_is_fitted(self)
        if not self._has_indices:
            raise RequestError(f"code {self.network_.code_part!r} has no codebook; fit with code=Quantized(n_vectors)")
        X, _ = samples_for(self, X)
        return infer(self, X, lambda network, x: network.code.indices(network.encode(x))).astype(np.int64)

    @property
    def _has_indices(self) -> bool:
        return type(self.network_.code).of_indices is not Code.of_indices

    def _of_indices(self, code: Any) -> Any:
        """The codes of integers, where they are those of codebooks; anything else as it is."""
        if not self._has_indices or np.asarray(code).dtype.kind not in "iu":
            return code
        known = check_array(code, dtype=np.int64, input_name="indices")
        with torch.inference_mode():
            of_codebook = self.network_.code.of_indices(torch.from_numpy(known).to(self.device_))
        return of_codebook.cpu().numpy()


def _log_likelihood(
    network: Any, objective: Objective, x: torch.Tensor, seed: int, n_samples: int, piece: int
) -> np.ndarray:
    """Of a few samples, by draws that are decoded `piece` at a time."""
    rows = x.float().cpu().numpy()  # a sample has the same draws in float64
    if objective.loss.bounded:  # of grey ones a cross-entropy is no likelihood: they have more values than two
        x = black_and_white(x, seed)
    streams = content_generators(seed, "latent", rows)
    z, total = network.encode(x), torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    for start in range(0, n_samples, piece):
        k = min(piece, n_samples - start)
        noise = torch.stack([torch.randn((k, network.code_size), generator=stream) for stream in streams]).to(x)
        code, excess = network.code.draw(z, noise)
        x_hat = network.decode_both(code.flatten(0, 1), None, logits=objective.takes_logits)
        each = objective.of_draws(x_hat, x, {"excess": Term(excess)})
        total = torch.logaddexp(total, torch.logsumexp(-each.double(), dim=1))
    return (total - math.log(n_samples)).cpu().numpy()
