"""The autoencoder as a scikit-learn estimator, composed of parts."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted

from isthmus.data.identity import to_text
from isthmus.errors import require
from isthmus.estimators.borrowed import feature_names
from isthmus.estimators.fits.one_fit import OneFit
from isthmus.estimators.fits.one_pass import OnePass
from isthmus.estimators.fits.warm_start import former_fit
from isthmus.estimators.fits.watching import Watched
from isthmus.estimators.generation import Generative, OfCodebooks
from isthmus.estimators.inference import infer
from isthmus.estimators.portable import PortableAutoencoder
from isthmus.estimators.samples import FLOATS, code_described, samples_described, samples_for, samples_of
from isthmus.estimators.saving import Saved
from isthmus.parts import Augmentation, CodePart, Corruption, Part
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.hardware import using_threads
from isthmus.training.history import Epoch, Trained

_DESCRIBED = 2048  # training samples whose codes are described


class Autoencoder(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, PortableAutoencoder, Generative, OfCodebooks, Watched
):
    """Learn a code for samples and a way back: x → code → x_hat, trained to make x_hat like x.

    Variants are composed: of a `network` part; a `corruption` of the input makes it denoising (Vincent, Larochelle,
    Bengio, Manzagol 2008), a `penalty` on the code sparse.

    Parameters
    ----------
    network : a network part; None means `Dense()`, but under a recipe its code is linear, or what the penalty needs.
    code : a code part, which says what happens between encoder and decoder; None for `Plain()`. `Gaussian()` makes it
        variational: then the loss is in nats of a sample, and it can `sample` and estimate a `log_likelihood`.
    corruption : a corruption part applied to the training input, never to the target; None for none.
    augmentation : an augmentation part (`Affine`) applied to training images before that, input and target alike.
    penalty : a penalty part on the code; None for none.
    loss, optimizer : "mse", "bce", or the part `MSE` or `BCE` with a weight; "adam", "adamw" or "sgd".
    learning_rate, schedule : the rate, and how it changes over the steps: "constant", "cosine" or "one-cycle".
    epochs, batch_size : passes over the samples, and samples in a step.
    start : "random" weights, or "data": each unit of a `Dense` or `Conv` scaled to some samples, so that none is dead.
        "pca": a `Dense` with a linear code and output begins at PCA's solution, each number of its code with variance 1
        (as by `PCA(whiten=True)`). With validation samples and patience it keeps that unless they say that training
        made it better by more than chance (`history_.kept_start`). A denoiser then begins at the data's start, and is
        held against PCA with each component shrunk as the noise asks for.
    standardize : whether the network sees each channel minus its median and in units of its spread, both fitted to the
        training samples. Samples, reconstructions and errors stay in the data's units. One channel is all numbers of
        samples that are no images: numbers of different kinds need a scaler of their own.
    recipe : chooses those of learning_rate, schedule, epochs, batch_size, start and standardize that are None. None:
        1e-3, "constant", 20, 128, "random", False. "fast": by the number of samples and the depth of the network, for a
        good error after few epochs, whatever the data's offset and scale; see `training_`.
    shuffle : True for a new order in each epoch, "once" for one order, False for the order of X.
    validation_fraction : the share of X to hold out for the validation loss, if `fit` is given no validation samples.
    patience : stop after so many epochs without a better validation loss, and keep the best weights; of a code in nats
        those of the end, where that loss is within a standard error of the best. A "one-cycle" that is stopped early is
        worth little: there let it be `epochs`, and only keep the best.
    precision : "float32", or "bfloat16" products with float32 weights; "auto" takes bfloat16 where the hardware has it
        and steps are large enough to be faster in it; on a CPU small products of dense layers are never in it.
    device : "auto", "cpu", "cuda" or "mps".
    warm_start : whether `fit` goes on from the weights of the former fit, if there is one: a new cycle with a new
        optimizer, and its schedule over its own epochs, so not the bits of one long fit. What standardizes stays as it
        was fitted first, and `start` has no say. With validation samples and patience the former weights are kept
        unless these say that an epoch is better by more than chance (`history_.kept_start`).
    shards : a power of two, into how many pieces each batch is cut. Processes that torchrun starts, as many as divide
        it, share these, and all end with the same bits, however many they are; each computes on one thread.
    verbose : 1 prints a line per epoch; in a notebook one bar shows them.
    random_state : the seed of start, order, augmentation and noise. The same seed gives the same bits, on the same
        device with the same number of threads.

    Attributes
    ----------
    network_ : the trained torch module, of the network part `network_.part`. history_ : a `History`, a row per epoch of
    the last `fit`, then a row per call of `partial_fit`. training_ : the `Training` that was run, with all that a
    recipe chose. n_features_in_ : numbers in a sample. image_shape_ : (channels, height, width), or None if `fit` saw
    (n, n_features). seed_ : the seed that was used.
    device_, precision_ : what "auto" chose. n_parameters_ : weights and biases. input_, code_ : what a saved model
    tells of the samples (their range and sha256) and of the first 2,048 codes (mean activation, l0, dead units).
    fitted_ : the network and what is known of its training in one value, which another estimator can `adopt`.

    Samples are `Images`, arrays, torch's Datasets and DataLoaders of arrays, which are read once, into memory, or what
    follows the protocol `isthmus.data.batches.Samples`, such as a memory map; in what order they are taken is then for
    it to say. Arrays are rows (n, n_features), or images (n, channels, height, width). Images with 1 or 3 channels
    last, and grey ones (n, height, width), are recognised, and refused where they may be either; images come back with
    channels first, whatever they came as. Arrays are numbers in any range (uint8 too is not rescaled); only `Images`
    are scaled to [0, 1]. Training is in float32, inference in the input's float32 or float64.

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
        code: CodePart | None = None,
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
        standardize: bool | None = None,
        recipe: str | None = None,
        warm_start: bool = False,
        shards: int = 1,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.code = code
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
        self.standardize = standardize
        self.recipe = recipe
        self.warm_start = warm_start
        self.shards = shards
        self.verbose = verbose
        self.random_state = random_state

    def fit(
        self, X: Any, y: Any = None, *, validation: Any = None, checkpoint: str | Path | Checkpoints | None = None
    ) -> Autoencoder:
        """Train on X, from a new start, a checkpoint or, if `warm_start`, the former fit. y is ignored.

        validation: samples like X for its loss. checkpoint: a folder of its own, in which the training is kept every
        ten seconds or so; a fit that was stopped and is repeated goes on from there and ends with the same bits. It is
        removed when the fit is done. A fit that fails or is stopped leaves none; a warm one, the former as it was.

        Raises ValueError for parameters or samples that do not fit; RunError if memory runs out; DivergedError, which
        is one, if the loss stops being finite.
        """
        for _ in self.fit_epochs(X, validation=validation, checkpoint=checkpoint):
            pass
        return self

    def fit_epochs(
        self,
        X: Any,
        *,
        validation: Any = None,
        checkpoint: str | Path | Checkpoints | None = None,
        refit: bool = False,
    ) -> Generator[Epoch, None, None]:
        """Like `fit`, and yields each epoch's row of `history_` when it is done. Fitted once it is exhausted.

        checkpoint: a folder as for `fit`, or `Checkpoints`, which their maker removes when the model is safe. refit:
        whether PCA's solution, where it is kept, is fitted anew to X and `validation`, which are held out no longer.
        Both are then `Images`, or both arrays.
        """
        self.parts()  # what contradicts itself leaves the former fit as it is
        with former_fit(self, wanted=self.warm_start) as warm_start:
            X, _ = samples_of(self, X, reset=warm_start is None)
            held_out = None if validation is None else samples_of(self, validation, reset=False)[0]
            fitting = OneFit(self, X, held_out, warm_start, refit=refit)
            self.training_ = fitting.training
            yield from self.fitted_by(fitting, checkpoint, X)

    def partial_fit(self, X: Any, y: Any = None) -> Autoencoder:
        """Take one pass over X, from the present weights, at a constant learning rate. y is ignored.

        The first call makes the start, and fits to its X what standardizes; both stay. epochs, schedule,
        validation_fraction and patience have no say. Where learning_rate is None, or was that of `fit`, a pass that
        leaves X worse is taken back (`history_.kept_start`), and the next are slower. Each call has an order and noise
        of its own, and the same calls give the same bits. The optimizer's moments go on until `fit` or loading. One
        that fails changes nothing.

        >>> import numpy as np
        >>> from isthmus import Autoencoder, Dense
        >>> model = Autoencoder(Dense(bottleneck=2), random_state=0)
        >>> for X in np.random.default_rng(0).normal(size=(6, 100, 5)).astype("float32"):
        ...     _ = model.partial_fit(X)
        >>> len(model.history_)
        6
        """
        self.parts()
        with former_fit(self, wanted=True) as warm_start:
            X, _ = samples_of(self, X, reset=warm_start is None)
            fitting = OnePass(self, X, warm_start)
            self.adopt(fitting.run())
            self.describe(fitting)
        return self

    def describe(self, fitting: OneFit) -> None:
        """Note what a reader of the saved model may want to know of the samples and of their codes."""
        self.input_ = {"image_shape": self.image_shape_, **samples_described(fitting.X, self.n_features_in_)}
        with using_threads(fitting.threads):
            self.code_ = code_described(infer(self, fitting.X, lambda network, x: network.code_of(x), _DESCRIBED))

    def adopt(self, fitted: Trained) -> None:
        """Be fitted: with a network that was trained or read, and what is known of its training."""
        self.fitted_, network = fitted, fitted.network
        self.network_, self.training_, self.history_ = network, fitted.training, fitted.history
        self.image_shape_, self.seed_, self.precision_ = fitted.image_shape, fitted.seed, fitted.precision
        self.n_features_in_, self.device_ = network.n_features, next(network.parameters()).device.type
        self.n_parameters_ = sum(p.numel() for p in network.parameters())

    def saved(self) -> Saved:
        network, state = self.network_, self.network_.state_dict()
        facts = {name: getattr(self, name) for name in ("n_features_in_", "image_shape_", "seed_", "precision_")}
        if network.standardization is not None:
            facts["standardization"] = network.standardization.table()
        if self.fitted_.pca_of_all:
            facts |= {"pca_of_all": True, "pca_samples": to_text(self.fitted_.pca_samples)}
        return Saved(
            {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in state.items()},
            {**facts, "training_": self.training_.table(), **feature_names(self)},
            getattr(self, "input_", None),
            getattr(self, "code_", None),
            self.history_,
        )

    def transform(self, X: Any) -> np.ndarray:
        """The codes, (n, bottleneck), in X's float32 or float64 (float32 for `Images`)."""
        X, _ = samples_for(self, X)
        return infer(self, X, lambda network, x: network.code_of(x))

    def inverse_transform(self, code: Any) -> np.ndarray:
        """What the decoder makes of codes, (n, bottleneck): (n, n_features), or images if `fit` saw images.

        Of a `Quantized` code, integers are `indices`, and the nearest vectors take the place of other numbers.
        """
        check_is_fitted(self)
        code = check_array(self._of_indices(code), dtype=FLOATS, input_name="code")
        size = self.network_.code_size
        require(code.shape[1] == size, "code", f"of {size} columns", code.shape[1])
        return self._shaped(infer(self, code, lambda network, z: network.decode(network.code.nearest(z))))

    def reconstruct(self, X: Any) -> np.ndarray:
        """x_hat for each sample; the same as `inverse_transform(transform(X))`.

        But for a `Conv` that unpools: here its decoder sees the encoder's switches, there it has the code alone.
        """
        X, shape = samples_for(self, X)
        x_hat = infer(self, X, lambda network, x: network(x)[0])
        return x_hat if shape is None else x_hat.reshape(-1, *shape)

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus each sample's squared error, averaged over its features: (n,)."""
        X, _ = samples_for(self, X)
        error = infer(self, X, lambda network, x: (network(x)[0] - x).square().mean(dim=1, keepdim=True))
        return -error[:, 0]

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`: what grid search maximises, if it is given no `scoring`.

        That is how well X itself is reconstructed, whatever the `corruption`: of a denoising autoencoder it prefers the
        one that was trained without noise. To choose what denoises best, give grid search a `denoising_scorer`.
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    @property
    def _n_features_out(self) -> int:
        return self.network_.code_size

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
