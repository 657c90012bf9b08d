"""`isthmus fit` of a denoiser of photographs: images of any size, larger than 48 pixels a side, and Gaussian noise."""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console, persistence
from isthmus.commands.images.inputs import existing, is_named, part_of
from isthmus.commands.images.leakage import collection_of
from isthmus.commands.shared.options import checkpoints_of
from isthmus.commands.shared.previews import middle, side_by_side, write_preview
from isthmus.commands.shared.tables import error_table
from isthmus.corruption import noisy_version
from isthmus.data.collections.collection import listing_of
from isthmus.data.collections.pieces import page_name
from isthmus.data.collections.reader_pool import all_shapes, read_all
from isthmus.data.framing import Framing
from isthmus.data.identity import to_text
from isthmus.data.image_list import ImageList
from isthmus.errors import DataError, DoubtWarning, RequestError, counted
from isthmus.estimators.denoising.denoiser import Denoiser
from isthmus.files import remove
from isthmus.machine import cores
from isthmus.metrics import Estimate, mean_of, mean_psnr, squared_error
from isthmus.parts import GaussianNoise
from isthmus.rng import numpy_generator
from isthmus.training.checkpoint import Checkpoints, OtherTrainingError
from isthmus.training.hardware import using_threads_everywhere

LEAST_SIDE = 49  # pixels; smaller images go through a code
_SHARE, _MOST_MEASURED, _MOST_PIXELS = 0.1, 12, 1 << 20  # held out; measured, for non-local means take seconds each
_SHOWN = 4
_OF_A_CODE = ("from", "patches", "resize", "crop", "patches_per_image", "penalty", "loss", "augmentation", "validation")


def is_wanted(options: argparse.Namespace, network: dict[str, Any], corruption: Any) -> bool:
    """Whether a command is a denoiser's of photographs: nothing is asked for that is of a code, patches or classes.

    Raises RequestError for a range of levels where it is not.
    """
    if corruption is None or (noise := corruption.for_denoiser()) is None:
        return False
    low, high = noise.level_range
    given = [name for name in (*_OF_A_CODE, "classes", "range") if getattr(options, name, None) is not None]
    given += [name for name in network if network[name] is not None]
    given += ["from"] if options.source is not None else []
    wanted = not given and "clip" not in options.corruption and _are_large(options)
    if low != high and not wanted:
        why = f"without --{given[0].replace('_', '-')}" if given else f"of at least {LEAST_SIDE} pixels a side"
        raise RequestError(
            f"--corruption {options.corruption}: a range of levels is learned from whole photographs {why}"
        )
    return wanted


def _are_large(options: argparse.Namespace) -> bool:
    if is_named(options.data):
        return False
    listing = listing_of(part_of(options.data, "train") if Path(options.data).is_dir() else existing(options.data))
    if listing is None:
        return False
    shapes = [shape for pages in all_shapes(listing.paths()) if not isinstance(pages, DataError) for shape in pages]
    return bool(shapes) and all(min(h, w) >= LEAST_SIDE for _, h, w in shapes)


def run(options: argparse.Namespace, noise: Any, training: dict[str, Any], threads: int) -> Denoiser:
    """Read the photographs, train, measure beside what needs no training, save and print."""
    noise = noise.for_denoiser()
    low, high = noise.level_range
    levels = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    console.say(f"a denoiser of photographs of any size: Gaussian noise of {levels} of black to white, not clipped")
    images, marks = _read(options)
    train, test, where = _hold_out(images, options.seed, options.test)
    console.say(f"{counted(len(train), 'photograph')} to train on, {where} to measure the errors on")
    crop = {} if options.training_crop is None else {"crop": options.training_crop}
    recipe = None if options.recipe == "plain" else options.recipe
    model = Denoiser(noise=noise, recipe=recipe, random_state=options.seed, **crop, **training)
    folder: Path = options.out
    with using_threads_everywhere(threads):
        _train(model, train, folder, force=options.force)
        sigma = high if low == high else (low + high) / 2
        errors, warnings_, shown = _measured(model, test, sigma, folder.name)
        names = sorted({*images.names} - {*train.names}) if images.names else []
        n = len(images)
        seen = {
            "collection": collection_of(options.data, "train"),
            "n": n,
            "n_trained_on": len(train),
            "left_out": names,
            "n_selected_on": 0,
            "selected_on": [],
            "trained": to_text(marks[[i for i in range(n) if images.names[i] not in names]]),
            "selected": to_text([]),
        }
        mse, psnr = (estimate.value for estimate in errors[folder.name])
        known = {"images": options.data, "seen": seen, "preparation": {}, "faults": warnings_}
        persistence.save(
            model, folder, extra={**known, "test": {"n": len(test), "sigma": sigma, "mse": mse, "psnr": psnr}}
        )
    remove(checkpoints_of(folder))
    write_preview(folder / persistence.PREVIEW, shown)
    print(error_table(f"on {where}, held out, sigma {sigma:g} told", errors))
    for sentence in warnings_:
        console.say(sentence)
    return model


def _read(options: argparse.Namespace) -> tuple[ImageList, np.ndarray]:
    """The photographs of DATA, and by what each is known again. Colour and grey ones become colour."""
    path = part_of(options.data, "train") if Path(options.data).is_dir() else existing(options.data)
    listing = listing_of(path)
    assert listing is not None
    arrays, names, marks = list[np.ndarray](), list[str](), list[int]()
    framing, n = Framing(grey=options.grey), len(listing.names)
    with console.progress("photographs read") as on_progress:
        for i, (name, block) in enumerate(zip(listing.names, read_all(listing.paths(), framing, cores()), strict=True)):
            if isinstance(block, DataError):
                if not options.skip_bad:
                    raise block
                console.say(f"left out: {block}")
                continue
            pages, _, identities = block
            for number, page in enumerate(pages):
                arrays.append(page[0])
                names.append(page_name(name, number, len(pages)))
                marks.append(identities[number])
            on_progress(i + 1, n)
    channels = max(len(array) for array in arrays)
    if grey := sum(len(array) != channels for array in arrays):
        console.say(f"{counted(grey, 'photograph is', 'photographs are')} grey among colour ones, and made colour")
    arrays = [array if len(array) == channels else np.repeat(array, channels, axis=0) for array in arrays]
    all_bytes = all(array.dtype == np.uint8 for array in arrays)
    if not all_bytes:
        arrays = [array / np.float32(255) if array.dtype == np.uint8 else array for array in arrays]
    return ImageList(tuple(arrays), 1 / 255 if all_bytes else 1.0, tuple(names)), np.array(marks, np.uint64)


def _hold_out(images: ImageList, seed: int, share: float | None) -> tuple[ImageList, ImageList, str]:
    """What to train on, what to measure on, and that in words: whole photographs, of one its right quarter."""
    n = len(images)
    if n == 1:
        whole = images.arrays[0]
        cut = whole.shape[2] * 3 // 4
        left, right = (dataclasses.replace(images, arrays=(part,)) for part in (whole[..., :cut], whole[..., cut:]))
        return left, right, "the right quarter of one photograph"
    n_test = min(n - 1, max(1, round(n * (_SHARE if share is None else share))))
    order = numpy_generator(seed, "split").permutation(n)
    test = images.take(np.sort(order[:n_test]))
    return images.take(np.sort(order[n_test:])), test, counted(n_test, "photograph")


def _train(model: Denoiser, train: ImageList, folder: Path, *, force: bool) -> None:
    with console.listener() as listener:
        checkpoints = Checkpoints(checkpoints_of(folder), say=listener.note, replace=force)
        rows, is_first = model.fit_epochs(train, checkpoint=checkpoints), True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DoubtWarning)
                for row in rows:
                    if is_first:
                        epochs = model.training_.epochs
                        listener.started(folder.name, epochs)
                        if row.epoch > 1:
                            listener.note(f"goes on after epoch {row.epoch - 1}, where it was stopped")
                        is_first = False
                    listener.epoch(folder.name, row, epochs)
        except OtherTrainingError as error:
            raise RequestError(
                f"{error.found}: a fit that was stopped; its own command goes on with it; choose another -o, "
                "or add --force to begin anew"
            ) from None
        history = model.history_
        listener.finished(folder.name, f"{counted(len(history), 'epoch')} in {console.duration(history.seconds)}")


Errors = dict[str, tuple[Estimate, Estimate]]


def _measured(
    model: Denoiser, test: ImageList, sigma: float, name: str
) -> tuple[Errors, list[str], dict[str, np.ndarray]]:
    """MSE and PSNR of whole photographs by name, of the model and of what needs no training; warnings; a picture."""
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        name: lambda y: model.denoise([y], sigma)[0],
        "non-local means": lambda y: _non_local_means(y, sigma),
        "wavelets": lambda y: _wavelets(y, sigma),
        "the noisy photographs": lambda y: y,
    }
    squared: dict[str, list[float]] = {method: [] for method in methods}
    shown: dict[str, list[np.ndarray]] = {"clean": [], "noisy": [], name: []}
    n = min(len(test), _MOST_MEASURED)
    with console.progress("photographs measured") as on_progress:
        for i, x in enumerate(_middles(test, n)):
            y = noisy_version(x.reshape(1, -1), GaussianNoise(sigma), x.shape).reshape(x.shape)
            for method, compute in methods.items():
                x_hat = np.clip(compute(y), 0, 1)
                squared[method].append(float(squared_error(x[None], x_hat[None])[0]))
                if i < _SHOWN and method == name:
                    for row, image in zip(shown.values(), (x, np.clip(y, 0, 1), x_hat), strict=True):
                        row.append(middle(image))
            on_progress(i + 1, n)
    errors = {method: (mean_of(np.array(e)), mean_psnr(np.array(e))) for method, e in squared.items()}
    best = min(errors, key=lambda method: errors[method][0].value or 0.0)
    warned = []
    if best != name:
        more = "more photographs, or more --epochs" if len(test) < 40 else "more --epochs"
        warned.append(f"{best} has less error than this model at sigma {sigma:g}: give it {more}")
    return errors, warned, {row: side_by_side(images) for row, images in shown.items()}


def _middles(images: ImageList, n: int) -> Iterator[np.ndarray]:
    """n of the images, of large ones a square in the middle."""
    side = int(_MOST_PIXELS**0.5)
    for i in np.linspace(0, len(images) - 1, n).round().astype(int).tolist():
        x = images.floats(i)
        h, w = x.shape[1:]
        if h * w > _MOST_PIXELS:
            top, left = max(0, (h - side) // 2), max(0, (w - side) // 2)
            x = x[:, top : top + side, left : left + side]
        yield np.ascontiguousarray(x)


def _non_local_means(y: np.ndarray, sigma: float) -> np.ndarray:
    """Buades, Coll, Morel 2005, as scikit-image's documentation uses it with the level known."""
    from skimage.restoration import denoise_nl_means

    if len(y) > 1:
        x_hat: np.ndarray = denoise_nl_means(y, 5, 6, h=0.6 * sigma, sigma=sigma, channel_axis=0)
        return x_hat
    # with an axis of one channel scikit-image 0.26 leaves more error than the noise
    grey: np.ndarray = denoise_nl_means(y[0], 5, 6, h=0.6 * sigma, sigma=sigma)
    return grey[None]


def _wavelets(y: np.ndarray, sigma: float) -> np.ndarray:
    """BayesShrink (Chang, Yu, Vetterli 2000)."""
    from skimage.restoration import denoise_wavelet

    x_hat: np.ndarray = denoise_wavelet(y, sigma=sigma, method="BayesShrink", rescale_sigma=False, channel_axis=0)
    return x_hat
