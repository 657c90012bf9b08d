"""The denoiser as a scikit-learn estimator: a network that takes the noise out of images of any size."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from isthmus.corruption import noisy_version
from isthmus.data.images import Images
from isthmus.data.photographs.image_list import ImageList, image_list
from isthmus.errors import RequestError
from isthmus.estimators.denoising.denoiser_fit import DenoiserFit
from isthmus.estimators.denoising.one_image import denoised, estimated_level
from isthmus.estimators.denoising.unit_doubts import check_rounded, doubt_units, rounded_type
from isthmus.estimators.fits.warm_start import former_fit
from isthmus.estimators.fits.watching import Watched
from isthmus.estimators.parameters import OfParts
from isthmus.estimators.portable import PortableDenoiser
from isthmus.estimators.saving import Saved
from isthmus.metrics import psnr, squared_error
from isthmus.parts import CORRUPTIONS, IMAGE_NETWORKS, Corruption, GaussianNoise, Part, Residual, checks
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.history import Epoch, Trained


class Denoiser(TransformerMixin, PortableDenoiser, OfParts, Watched):
    """Learn to take the noise out of images of any size: noisy image, level of its noise → clean image.

    The network predicts the noise, which is subtracted. It is told the level as a plane beside the pixels, so one
    network serves a whole range (Zhang, Zuo, Zhang 2018). It learns from crops of clean images, to which noise is
    added; of pairs of images, one noisy, one clean or noisy too (Lehtinen et al. 2018); or of noisy images alone, by
    neighbouring pixels (Huang, Li, Jia, Lu, Liu 2021), for noise that is not correlated between pixels.

    Parameters
    ----------
    network : `Residual` or `UNet`; None for `Residual()`.
    noise : a `GaussianNoise`, a `Poisson`, or a `Sequence` of Poisson and then Gaussian noise; sigma or peak
        may be a range, (low, high), from which each crop's is sampled. Not clipped. Of Poisson noise the
        plane has the level of each pixel. Of pairs, and with target="noisy", nothing is learned from it, whatever noise
        the images have: it must be Gaussian, and is what `score`, and `fit` of its `validation` images, add.
    blind : whether it estimates the level of each image, whatever it is told.
    self_ensemble : whether each image is denoised in its eight flips and turns, and their mean is taken: in eight times
        the time, 0.07 to 0.1 dB better (Timofte, Rothe, Van Gool 2016). It changes nothing of the training.
    target : "clean", what the images of `fit` are, or "noisy": they have noise themselves, and no more is added.
    crop : the side of the crops that it is trained on, in pixels: at least 8, and of noisy images alone 16.
    crops_per_epoch : how many crops an epoch has, however many images there are.
    epochs, batch_size, learning_rate, schedule, optimizer : as of `Autoencoder`; None for 20, 16, 1e-3, "constant", or
        what the recipe chooses.
    recipe : "fast": what is best after about a quarter of an hour on two cores.
    validation_fraction : the share of the images to hold out for the validation loss. patience : stop after so many
        epochs without a better one, and keep the best weights.
    warm_start : whether `fit` goes on from the weights of the former fit, if there is one, as of `Autoencoder`: a new
        cycle. Where validation images and patience are set, the former weights stay unless an epoch is better. The
        unit, `scale_`, is that of the first fit; the noise may be of other levels, but not of another kind.
    precision, device, shards, verbose, random_state : as of `Autoencoder`. "bfloat16" holds for `denoise` too.

    Attributes
    ----------
    network_ : the trained torch module. history_ : a `History`. training_ : the `Training` that was run. scale_ : how
    far the training images' numbers go; the network sees numbers in this unit, less the mean of each image's channels.
    n_channels_ : of an image. seed_, device_, precision_, n_parameters_ : as of `Autoencoder`.

    Images are `Images`, an array (n, c, h, w), a list of arrays (c, h, w) of different sizes, or a folder. Arrays are
    numbers in any range, in which sigma is too; folders and `Images` are in [0, 1].

    >>> import numpy as np
    >>> from isthmus import Denoiser, GaussianNoise, Residual
    >>> photos = [np.random.default_rng(i).random((1, 40 + i, 50)) for i in range(4)]
    >>> model = Denoiser(Residual(width=8, depth=4), noise=GaussianNoise((0, 0.1)), crop=16, crops_per_epoch=32,
    ...                  epochs=1, random_state=0).fit(photos)
    >>> [x.shape for x in model.denoise(photos[:2], sigma=0.1)]
    [(1, 40, 50), (1, 41, 50)]
    """

    ROLES: ClassVar = {"network": IMAGE_NETWORKS, "noise": CORRUPTIONS}

    def __init__(
        self,
        network: Part | None = None,
        *,
        noise: Corruption = GaussianNoise((0.0, 0.2)),  # noqa: B008  # frozen
        target: str = "clean",
        blind: bool = False,
        self_ensemble: bool = False,
        crop: int = 64,
        crops_per_epoch: int = 8192,
        optimizer: str | None = None,
        learning_rate: float | None = None,
        schedule: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        precision: str = "auto",
        device: str = "auto",
        recipe: str | None = None,
        warm_start: bool = False,
        shards: int = 1,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.network = network
        self.noise = noise
        self.target = target
        self.blind = blind
        self.self_ensemble = self_ensemble
        self.crop = crop
        self.crops_per_epoch = crops_per_epoch
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.precision = precision
        self.device = device
        self.recipe = recipe
        self.warm_start = warm_start
        self.shards = shards
        self.verbose = verbose
        self.random_state = random_state

    def part(self, role: str) -> Any:
        """The part in a role of the constructor's; for no network the default."""
        value = super().part(role)
        return Residual() if role == "network" and value is None else value

    def fit(
        self,
        X: Any,
        Y: Any = None,
        *,
        validation: Any = None,
        checkpoint: str | Path | Checkpoints | None = None,
    ) -> Denoiser:
        """Train on images, clean or noisy, as `target` says. checkpoint, `warm_start`: as of `Autoencoder.fit`.

        Y: for each image of X, which are noisy then, another of the same scene and shape, clean or noisy itself; no
        noise is added. validation: clean images, to whose crops `noise` is added for the validation loss, whatever is
        learned from.

        Raises ValueError for parameters or images that do not fit; RunError if memory runs out; DivergedError, which is
        one, if the loss stops being finite.
        """
        for _ in self.fit_epochs(X, Y, validation=validation, checkpoint=checkpoint):
            pass
        return self

    def fit_epochs(
        self,
        X: Any,
        Y: Any = None,
        *,
        validation: Any = None,
        checkpoint: str | Path | Checkpoints | None = None,
    ) -> Generator[Epoch, None, None]:
        """Like `fit`, and yields each epoch's row of `history_` when it is done. Fitted once it is exhausted."""
        images = image_list(X, cache=True)
        others = None if Y is None else image_list(Y, name="Y", cache=True)
        held_out = None if validation is None else image_list(validation, name="validation")
        with former_fit(self, wanted=self.warm_start) as warm_start:
            fitting = DenoiserFit(self, images, others, held_out, warm_start)
            self.training_ = fitting.training
            yield from self.fitted_by(fitting, checkpoint, X)

    def of(self, model: Denoiser) -> Denoiser:
        """Be fitted as another denoiser is, with its network, noise and target, but not its other arguments."""
        check_is_fitted(model)
        self.set_params(network=model.network, noise=model.noise, target=model.target)
        self.adopt(model.fitted_)
        return self

    def adopt(self, fitted: Trained) -> None:
        """Be fitted: with a network that was trained or read, and what is known of its training."""
        self.fitted_, network = fitted, fitted.network
        self.network_, self.training_, self.history_ = network, fitted.training, fitted.history
        self.scale_, self.seed_, self.precision_ = fitted.scale, fitted.seed, fitted.precision
        self.device_ = next(network.parameters()).device.type
        self.n_parameters_ = sum(p.numel() for p in network.parameters())
        self.n_channels_ = network.channels

    def saved(self) -> Saved:
        """What of the fitted model is written."""
        tensors = {name: t.detach().cpu().contiguous().numpy() for name, t in self.network_.state_dict().items()}
        fitted = {name: getattr(self, name) for name in ("n_channels_", "scale_", "seed_", "precision_")}
        known = {name: getattr(self.fitted_, name) for name in ("is_shot", "images")}
        known["training_"] = self.training_.table()
        return Saved(tensors, {**fitted, **known}, history=self.history_)

    def denoise(
        self, Y: Any, sigma: float | None = None, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Any:
        """The images without their noise, in Y's own form, float32: an array for an array, else a list.

        All are in memory at once, of which a folder of large photographs may be too many: see `denoise_each`.

        sigma: the standard deviation of the noise, in the images' unit, and of Poisson noise that at 1: 1/√peak; None
        estimates that of each image; `sigma_` has them. on_progress: called with the tiles of an image that are
        done, and all of them.
        """
        images = image_list(Y, name="Y")
        each = self._each(images, sigma, None, on_progress, forms=Y, stacklevel=5)
        if not isinstance(Y, np.ndarray | Images):
            return list(each)
        denoised = np.empty((len(images), *images.arrays[0].shape), np.float32)
        for i, x_hat in enumerate(each):
            denoised[i] = x_hat
        return denoised

    def denoise_each(
        self,
        Y: Any,
        sigma: float | None = None,
        *,
        dtype: Any = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Generator[np.ndarray, None, None]:
        """Yield the images without their noise one after another, as `denoise` gives them: one is in memory at a time.

        dtype: None for float32; "uint8" or "uint16" for images in [0, 1], clipped and rounded: a quarter of the memory,
        or half. sigma, on_progress: as of `denoise`. `sigma_` has the level of an image once it is yielded, NaN before.
        Arguments that are wrong raise ValueError at once; a file that cannot be read, when it is its turn.

        >>> import numpy as np
        >>> from isthmus import Denoiser, Residual
        >>> photos = [np.random.default_rng(i).random((1, 40 + i, 50)) for i in range(2)]
        >>> model = Denoiser(Residual(width=8, depth=4), crop=16, crops_per_epoch=32, epochs=1, random_state=0)
        >>> for x in model.fit(photos).denoise_each(photos, dtype="uint8"):
        ...     print(x.shape, x.dtype)
        (1, 40, 50) uint8
        (1, 41, 50) uint8
        """
        return self._each(image_list(Y, name="Y"), sigma, rounded_type(dtype), on_progress, forms=Y, stacklevel=4)

    def _each(
        self,
        images: ImageList,
        sigma: float | None,
        rounded: np.dtype | None,
        on_progress: Callable[[int, int], None] | None,
        *,
        forms: Any,
        stacklevel: int,
    ) -> Generator[np.ndarray, None, None]:
        """Check what is asked for, and denoise each image when its turn comes. forms: Y. stacklevel: of a warning."""
        check_is_fitted(self)
        if images.channels != self.n_channels_:
            way_out = "repeat a grey image, or give one image as [image]"
            way_out = "denoise each channel as a grey image" if self.n_channels_ == 1 else way_out
            raise RequestError(
                f"Y has {images.channels} channels, and the model was fitted on {self.n_channels_}: {way_out}"
            )
        sigma = None if self.blind else checks.python(sigma)
        if sigma is not None:
            checks.not_negative("sigma", sigma)
        self.sigma_ = sigmas = np.full(len(images), np.nan)

        def x_hat_of(i: int) -> np.ndarray:
            y = np.asarray(images.arrays[i])
            if not i:
                low, high = np.multiply([y.min(), y.max()], np.float32(images.unit), dtype=np.float32)
                doubt_units(self, float(high - low), sigma, stacklevel)
                check_rounded(rounded, low, high)
            given, sigmas[i] = estimated_level(self, y, images.unit) if sigma is None else (float(sigma), sigma)
            options = {"self_ensemble": self.self_ensemble, "rounded": rounded, "on_progress": on_progress}
            x_hat = denoised(self, y, given, images.unit, **options)
            return x_hat[0] if isinstance(forms, list | tuple) and np.ndim(forms[i]) == 2 else x_hat

        return (x_hat_of(i) for i in range(len(images)))  # which holds none of them

    def transform(self, X: Any) -> Any:
        """The images without their noise, whose level is estimated: `denoise(X)`."""
        return self.denoise(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean PSNR, in dB, of clean images that were given noise and denoised, the level told.

        The noise is that of the middle of the range, drawn by a stream of its own from each image's bytes. A peak is
        `scale_`; results are clipped to the range of the image.
        """
        check_is_fitted(self)
        images = image_list(X)
        low, high = self.noise.sigma_range
        sigma, values = (low + high) / 2, []
        for i in range(len(images)):
            x = images.floats(i)
            noisy = noisy_version(x.reshape(1, -1), self.noise.at(sigma), None).reshape(x.shape)
            x_hat = np.clip(self.denoise([noisy], sigma)[0], x.min(), x.max())
            values.append(psnr(squared_error(x[None] / self.scale_, x_hat[None] / self.scale_))[0])
        return float(np.nanmean(values))
