"""The autoencoder as a scikit-learn estimator, composed of parts."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from isthmus.augmentation import check_augmentation
from isthmus.corruption import check_corruption
from isthmus.data.batches import Pixels, as_tensor
from isthmus.data.images import Images
from isthmus.errors import DoubtWarning, RequestError, require
from isthmus.estimators.composed import Composed
from isthmus.estimators.samples import checked, code_described, hold_out, in_range, pixels_of, samples_described
from isthmus.fingerprints import array_fingerprint, code_fingerprint
from isthmus.networks import Network, build
from isthmus.parts import ROLES, Augmentation, Corruption, Part, doubt
from isthmus.rng import generator, seed_from
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.hardware import memory_told, resolve_device, resolve_precision, step_threads
from isthmus.training.history import Epoch, History
from isthmus.training.recipe import completed, described
from isthmus.training.session import session
from isthmus.training.start import fit_start

_CHUNK = 2048  # samples that go through the network at a time: bounded memory for any number of them
_DESCRIBED = 2048  # training samples whose codes are described
_FLOATS = (np.float32, np.float64)  # anything else becomes float32


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Composed):
    """Learn a code for samples and a way back: x → code → x_hat, trained to make x_hat like x.

    The variants are composed: a `network` part (`Dense`, `Conv`), a `corruption` of the input makes it denoising
    (Vincent, Larochelle, Bengio, Manzagol 2008), a `penalty` on the code makes it sparse.

    Parameters
    ----------
    network : a network part; None means `Dense()`.
    corruption : a corruption part applied to the training input, never to the target; None for none.
    augmentation : an augmentation part (`Affine`) applied to training images before that, input and target alike.
    penalty : a penalty part on the code; None for none.
    loss : "mse", "bce", or the part `MSE` or `BCE` with a weight.
    optimizer : "adam", "adamw" or "sgd".
    learning_rate, schedule : the rate, and how it changes over the steps: "constant", "cosine" or "one-cycle".
    epochs, batch_size : passes over the samples, and samples in a step.
    start : "random" weights, or "data": each unit of a `Dense` or `Conv` scaled to some samples, so that none is dead.
    recipe : chooses those of the last five that are None. None: 1e-3, "constant", 20, 128, "random". "fast": by the
        number of samples and the depth of the network, for a good error after few epochs; see `training_`.
    shuffle : True for a new order in each epoch, "once" for one order, False for the order of X.
    validation_fraction : the share of X to hold out for the validation loss, if `fit` is given no validation samples.
    patience : stop after so many epochs without a better validation loss, and keep the best weights. A
        "one-cycle" that is stopped early is worth little: there let it be `epochs`, and only keep the best.
    precision : "float32", or "bfloat16" products with float32 weights; "auto" takes bfloat16 where the hardware has it.
    device : "auto", "cpu", "cuda" or "mps".
    verbose : 1 prints a line per epoch.
    random_state : the seed of start, order, augmentation and noise. The same seed gives the same bits, on the same
        device with the same number of threads.

    Attributes
    ----------
    network_ : the trained torch module. history_ : a `History`, a row per epoch. training_ : the `Training` that was
    run, with all that a recipe chose. n_features_in_ : numbers in a sample.
    image_shape_ : (channels, height, width), or None if `fit` saw (n, n_features). seed_ : the seed that was used.
    device_, precision_ : what "auto" chose. n_parameters_ : weights and biases. input_, code_ : what a saved model
    tells of the samples (their range and sha256) and of the first 2,048 codes (mean activation, l0, dead units).

    Samples are arrays (n, n_features) or (n, channels, height, width), or `Images`. Arrays are numbers in any range
    (uint8 too is not rescaled); only `Images` are scaled to [0, 1]. Training is in float32, inference in the input's
    float32 or float64.

    >>> import numpy as np
    >>> from isthmus import Autoencoder, Dense
    >>> X = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
    >>> code = Autoencoder(Dense(bottleneck=2), epochs=2, random_state=0).fit_transform(X)
    >>> code.shape
    (64, 2)
    """

    def __init__(
        self,
        network: Part | None = None,
        *,
        corruption: Corruption | None = None,
        augmentation: Augmentation | None = None,
        penalty: Part | None = None,
        loss: str | Part = "mse",
        optimizer: str = "adam",
        learning_rate: float | None = None,
        schedule: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        shuffle: bool | str = True,
        validation_fraction: float | None = None,
        patience: int | None = None,
        precision: str = "auto",
        device: str = "auto",
        start: str | None = None,
        recipe: str | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.corruption = corruption
        self.augmentation = augmentation
        self.penalty = penalty
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.precision = precision
        self.device = device
        self.start = start
        self.recipe = recipe
        self.verbose = verbose
        self.random_state = random_state

    # --- fitting ---

    def fit(
        self, X: Any, y: Any = None, *, validation: Any = None, checkpoint: str | Path | Checkpoints | None = None
    ) -> Autoencoder:
        """Train on X, from a new start or a checkpoint. y is ignored. validation: samples like X for its loss.

        checkpoint: a folder of its own, in which the training is kept every ten seconds or so; a fit that was stopped
        and is repeated goes on from there and ends with the same bits. It is removed when the fit is done.

        Raises ValueError for parameters or samples that do not fit; RunError if memory runs out; DivergedError, which
        is one, if the loss stops being finite.
        """
        for _ in self.fit_epochs(X, validation=validation, checkpoint=checkpoint):
            pass
        return self

    def fit_epochs(
        self, X: Any, *, validation: Any = None, checkpoint: str | Path | Checkpoints | None = None
    ) -> Generator[Epoch, None, None]:
        """Like `fit`, and yields each epoch's row of `history_` when it is done. Fitted once it is exhausted.

        checkpoint: a folder as for `fit`, or `Checkpoints`, which their maker removes when the model is safe.
        """
        network_part, corruption, objective, training = self._parts()
        if hasattr(self, "network_"):
            del self.network_  # from here on the former fit is gone: a fit that fails leaves none, not half of each
        X, image_shape = self._samples(X, reset=True)
        self.image_shape_ = image_shape  # validation is held against this shape, not a former fit's
        known_shape = image_shape or getattr(network_part, "image_shape", None)
        self.training_ = training = completed(self._said(), network_part, self.penalty, len(X))
        if training.recipe is not None:
            self._say(f'recipe "{training.recipe}": {described(training)}')
        if corruption is not None:
            check_corruption(corruption, self.n_features_in_, known_shape)
        if self.augmentation is not None:
            check_augmentation(self.augmentation, self.n_features_in_, known_shape)
        if said := doubt(network_part, objective.penalty):
            warnings.warn(said, DoubtWarning, stacklevel=3)
        held_out = None if validation is None else self._samples(validation, reset=False)[0]
        if training.patience is not None and held_out is None and training.validation_fraction is None:
            raise RequestError("patience needs validation samples: set validation_fraction, or fit(X, validation=...)")
        for samples in (X, held_out):
            in_range(samples, network_part)
        device = resolve_device(training.device)
        precision = resolve_precision(training.precision, device)
        seed = seed_from(self.random_state)

        whole = X  # of which validation_fraction takes a part away

        def facts() -> dict[str, Any]:
            return self._facts(whole, None if validation is None else held_out, image_shape, seed, device, precision)

        kept = checkpoint if isinstance(checkpoint, Checkpoints) else Checkpoints(checkpoint)
        with kept.held(4 * network_part.n_weights(self.n_features_in_, known_shape)):
            former = kept.begin(facts)
            seed = seed if former is None else former.seed
            ids = None
            if held_out is None and training.validation_fraction is not None:
                X, held_out, ids = hold_out(X, training.validation_fraction, seed)
            with memory_told(training.batch_size):
                pixels = Pixels(X, device)
                validation_pixels = None if held_out is None else Pixels(held_out, device)
                network = build(network_part, pixels.n_features, generator(seed, "init"), image_shape).to(device)
            if training.start == "data" and former is None:
                fit_start(network, pixels, corruption=corruption, seed=seed, image_shape=known_shape)
            if former is not None:
                self._say(f"goes on after epoch {len(former.history)}/{training.epochs}")
            history = History()
            rows = session(
                network,
                pixels,
                validation_pixels,
                objective,
                training,
                kept,
                former,
                history,
                augmentation=self.augmentation,
                corruption=corruption,
                precision=precision,
                seed=seed,
                image_shape=known_shape,
                ids=ids,
            )
            with contextlib.closing(rows):
                for row in rows:
                    heard = "" if row.validation_loss is None else f", validation {row.validation_loss:.6f}"
                    self._say(f"epoch {row.epoch}/{training.epochs}: loss {row.loss:.6f}{heard} ({row.seconds:.1f} s)")
                    yield row
            self._fitted(network.eval(), history, image_shape, seed, precision)
            self._describe(whole)
            if kept is not checkpoint:
                kept.remove()

    def _facts(
        self,
        X: Any,
        validation: Any,
        image_shape: tuple[int, int, int] | None,
        seed: int,
        device: torch.device,
        precision: str,
    ) -> dict[str, Any]:
        """What must be the same for a training to go on from a checkpoint and end with the same bits."""
        network_part, training = self._parts()[0], self.training_
        multiplications = network_part.multiplications(self.n_features_in_, image_shape)
        return {
            **{role: part.table() if (part := self._part(role)) is not None else None for role in ROLES},
            **{f.name: getattr(training, f.name) for f in dataclasses.fields(training)},
            "random_state": None if self.random_state is None else seed,
            "samples": array_fingerprint(pixels_of(X)),
            "validation samples": None if validation is None else array_fingerprint(pixels_of(validation)),
            "image_shape": image_shape,
            "device": device.type,
            "precision": precision,
            "threads": step_threads(multiplications, training.batch_size, torch.get_num_threads(), device),
            "isthmus' own code": code_fingerprint(),
            "torch": torch.__version__,
        }

    def _say(self, line: str) -> None:
        if self.verbose:
            print(line)

    def _describe(self, X: Any) -> None:
        """Note what a reader of the saved model may want to know of the samples and of their codes."""
        some = X.take(slice(_DESCRIBED)) if isinstance(X, Images) else X[:_DESCRIBED]
        self.input_ = {"image_shape": self.image_shape_, **samples_described(X)}
        self.code_ = code_described(self._apply(some, lambda network, x: network.encode(x)))

    def _fitted(
        self,
        network: Network,
        history: History,
        image_shape: tuple[int, int, int] | None,
        seed: int,
        precision: str,
    ) -> None:
        self.network_, self.history_, self.image_shape_, self.seed_ = network, history, image_shape, seed
        self.n_features_in_ = network.n_features
        self.device_, self.precision_ = next(network.parameters()).device.type, precision
        self.n_parameters_ = sum(p.numel() for p in network.parameters())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def save(self, folder: str | Path) -> None:
        """Write the fitted model to a folder; `isthmus.load` reads it back to the same outputs, bit for bit.

        A model that lies there is replaced, whole or not at all; a folder that holds anything else is refused.
        """
        from isthmus.persistence import save

        check_is_fitted(self)
        save(self, folder)

    # --- using ---

    def transform(self, X: Any) -> np.ndarray:
        """The codes, (n, bottleneck), in X's float32 or float64 (float32 for `Images`)."""
        check_is_fitted(self)
        X, _ = self._samples(X, reset=False)
        return self._apply(X, lambda network, x: network.encode(x))

    def inverse_transform(self, code: Any) -> np.ndarray:
        """What the decoder makes of codes, (n, bottleneck): (n, n_features), or images if `fit` saw images."""
        check_is_fitted(self)
        code = check_array(code, dtype=_FLOATS, input_name="code")
        size = self.network_.code_size
        require(code.shape[1] == size, "code", f"of {size} columns", code.shape[1])
        return self._shaped(self._apply(code, lambda network, z: network.decode(z)))

    def reconstruct(self, X: Any) -> np.ndarray:
        """x_hat for each sample; the same as `inverse_transform(transform(X))`.

        But for a `Conv` that unpools: here its decoder sees the encoder's switches, there it has the code alone.
        """
        check_is_fitted(self)
        X, shape = self._samples(X, reset=False)
        x_hat = self._apply(X, lambda network, x: network(x)[0])
        return x_hat if shape is None else x_hat.reshape(-1, *shape)

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus each sample's squared error, averaged over its features: (n,)."""
        check_is_fitted(self)
        X, _ = self._samples(X, reset=False)
        error = self._apply(X, lambda network, x: (network(x)[0] - x).square().mean(dim=1, keepdim=True))
        return -error[:, 0]

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`: what grid search maximises."""
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def _shaped(self, x_hat: np.ndarray) -> np.ndarray:
        return x_hat if self.image_shape_ is None else x_hat.reshape(-1, *self.image_shape_)

    def _for_inference(self, X: Images | np.ndarray) -> tuple[Network, torch.device, torch.dtype]:
        """The network, its device and its type for samples in float32 or float64: the precision that they have."""
        device, network = torch.device(self.device_), self.network_
        if isinstance(X, Images) or X.dtype != np.float64:
            return network, device, torch.float32
        if device.type == "mps":  # which has no float64
            device = torch.device("cpu")
        return copy.deepcopy(network).to(device, torch.float64), device, torch.float64

    def _apply(self, X: Images | np.ndarray, compute: Callable[[Any, torch.Tensor], torch.Tensor]) -> np.ndarray:
        """Run `compute(network, samples)` chunk by chunk, in the samples' precision."""
        network, device, dtype = self._for_inference(X)
        result = None
        with torch.inference_mode():
            for start in range(0, len(X), _CHUNK):
                which = slice(start, start + _CHUNK)
                x = as_tensor(X.floats(which) if isinstance(X, Images) else X[which])
                y = compute(network, x.to(device, dtype))
                if result is None:
                    result = torch.empty((len(X), *y.shape[1:]), dtype=dtype)
                result[which] = y
        assert result is not None
        return result.numpy()

    # --- samples: what goes in, checked ---

    def _samples(self, X: Any, *, reset: bool) -> tuple[Any, tuple[int, int, int] | None]:
        """`Images` as they are, arrays as (n, n_features) floats; and the image shape, if X has one."""
        least = 2 if reset else 1
        if isinstance(X, Images):
            shape, n_features = X.shape, X.n_features
        elif getattr(X, "ndim", 2) == 4:
            with checked(X):
                X = check_array(X, dtype=_FLOATS, allow_nd=True, ensure_min_samples=least, estimator=self)
            shape = X.shape[1:]
            X = X.reshape(len(X), -1)
            n_features = X.shape[1]
        else:
            with checked(X):
                return validate_data(self, X, reset=reset, dtype=_FLOATS, ensure_min_samples=least), None
        if reset:
            require(len(X) >= least, "the number of images to fit", "at least 2", len(X))
            self.n_features_in_ = n_features
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        # of a convolutional network that was fitted on flat samples, the network knows the shape
        expected = getattr(self, "image_shape_", None) or getattr(getattr(self, "network_", None), "shape", None)
        if not reset and (n_features != self.n_features_in_ or expected not in (None, shape)):
            name = type(self).__name__
            wanted = expected or f"{self.n_features_in_} features"
            raise ValueError(f"X has images of shape {shape}, but {name} is expecting {wanted}")
        return X, shape

    @property
    def _n_features_out(self) -> int:
        return self.network_.code_size

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
