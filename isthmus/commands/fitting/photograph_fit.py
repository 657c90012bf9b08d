"""`isthmus fit` of a denoiser of photographs: images of any size, and Gaussian noise.

Images of less than 49 pixels a side go through a code, unless it is said of which side the crops to train on are.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isthmus import console, persistence
from isthmus.commands.fitting.defaults import LEAST_CROP, LEAST_SIDE, crop_for
from isthmus.commands.fitting.photograph_errors import measure
from isthmus.commands.fitting.training_run import train
from isthmus.commands.images.inputs import existing, framing_of, is_named, load_images, part_of, with_range
from isthmus.commands.images.leakage import collection_of
from isthmus.commands.shared.options import checkpoints_of
from isthmus.commands.shared.previews import write_preview
from isthmus.commands.shared.tables import error_facts, error_table
from isthmus.data.collections.collection import listing_of, open_images
from isthmus.data.collections.listing import is_mvtec
from isthmus.data.collections.pieces import file_of
from isthmus.data.collections.reader_pool import all_shapes
from isthmus.data.collections.stack import memory_limit
from isthmus.data.framing import Framing, table_of
from isthmus.data.identity import marks_of, to_text
from isthmus.data.noise_estimate import CLEAN, growth_of, noise_in, sigmas_of
from isthmus.data.photographs.album import open_album
from isthmus.data.photographs.image_list import ImageList, of_album
from isthmus.errors import DataError, RequestError, counted, require
from isthmus.estimators.denoising.denoiser import Denoiser
from isthmus.estimators.denoising.denoiser_fit import training_of
from isthmus.files import remove
from isthmus.machine import check_shards, launched
from isthmus.parts import GaussianNoise
from isthmus.rng import numpy_generator
from isthmus.training.hardware import using_threads_everywhere

_SHARE = 0.1  # held out
_OF_A_CODE = (
    "source",
    "network",
    "patches",
    "stride",
    "resize",
    "crop",
    "patches_per_image",
    "code",
    "penalty",
    "loss",
    "augmentation",
    "classes",
)
_OF_A_CHOICE = ("validation", "patience")


@dataclass(frozen=True)
class Photographs:
    """What was read. marks: by which each is known again. framing: how they were prepared."""

    images: ImageList
    marks: np.ndarray
    framing: Framing

    def subset(self, which: np.ndarray) -> Photographs:
        """The photographs at these positions."""
        return replace(self, images=self.images.take(which), marks=self.marks[which])


def is_wanted(options: argparse.Namespace, network: dict[str, Any], corruption: Any) -> bool:
    """Whether a command is a denoiser's of photographs: nothing is asked for that is of a code, patches or classes.

    Raises RequestError for a range of levels, for --noisy and for --training-crop, where it is not.
    """
    if options.noisy and corruption is not None:
        raise RequestError(
            "--noisy learns from photographs that are noisy themselves, and --corruption adds noise to clean ones; "
            "give one of them"
        )
    noise, crop = None if corruption is None else corruption.for_denoiser(), options.training_crop
    if not options.noisy and (noise is None or noise.sigma_range[1] == 0):
        if crop is not None:
            raise RequestError(
                "--training-crop is of a denoiser of photographs: give --corruption gaussian:0.1 or --noisy"
            )
        return False
    given = [name for name in _OF_A_CODE if getattr(options, name) is not None]
    given += [name for name in network if network[name] is not None]
    words = [f"--{'from' if name == 'source' else name.replace('_', '-')}" for name in given]
    words += ["clip="] if "clip" in (options.corruption or "") else []
    sides, are_large = ([], False) if words or is_named(options.data) else _sides(options)
    if are_large:
        if crop is not None:
            require(crop <= max(sides), "--training-crop", f"at most {max(sides)}, the images' shorter side", crop)
        return True
    least = 2 * LEAST_CROP if options.noisy else LEAST_CROP  # of noisy ones every second pixel is taken
    takes_crops = bool(sides) and min(sides) >= least
    if takes_crops and crop is not None:
        even, side = "even, " if options.noisy else "", min(sides)
        rule = f"{even}at least 8 and at most {side}, the shorter side of the images"
        require(8 <= crop <= side and not (even and crop % 2), "--training-crop", rule, crop)
        return True
    if crop is not None or noise is None or len({*noise.sigma_range}) > 1:
        request = f"--corruption {options.corruption}: a range of levels" if noise else "--noisy: what is noise"
        request = request if crop is None else f"--training-crop {crop}: a denoiser of crops"
        why = f"without {words[0]}" if words else f"of at least {LEAST_SIDE if crop is None else least} pixels a side"
        if takes_crops:
            why += f", or of smaller ones with --training-crop {crop_for(min(sides))}"
        elif not words and is_named(options.data):
            why = f"in files of your own, {why}"
        raise RequestError(f"{request} is learned from whole photographs {why}")
    return False


def _sides(options: argparse.Namespace) -> tuple[list[int], bool]:
    """The shorter side of each image, and whether they are photographs, which no code is for."""
    path = existing(options.data)
    listing = listing_of(path / "train" if is_mvtec(path) else path)
    shapes: list[tuple[int, ...]]
    if listing is None:
        shapes = [open_images(path, value_range=options.range).shape]
    else:
        pages = all_shapes(listing.paths())
        shapes = [shape for file in pages if not isinstance(file, DataError) for shape in file]
    sides = [min(shape[1:]) for shape in shapes]
    large = [side >= LEAST_SIDE for side in sides]
    # a code is for images of one size, so a small one among large ones of other sizes does not decide
    return sides, any(large) and (all(large) or len({shape[1:] for shape in shapes}) > 1)


def run(options: argparse.Namespace, noise: Any, training: dict[str, Any], threads: int) -> None:
    """Read the photographs, train, measure beside what needs no training, save and print."""
    if choosing := [name for name in _OF_A_CHOICE if getattr(options, name) is not None]:
        raise RequestError(
            f"--{choosing[0]}: a denoiser of photographs trains all its epochs, and no photographs choose the best; "
            "leave it out, or cut patches with --patches HxW"
        )
    folder = options.out
    photographs, noise = _read(options), None if noise is None else noise.for_denoiser()
    if noise is None:
        noise = _own_noise(photographs.images)
    else:
        low, high = noise.sigma_range
        levels = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        words = noise.label if noise.shot_and_read[0] else f"Gaussian noise of {levels} of black to white"
        console.say(f"a denoiser of photographs of any size: {words}, not clipped")
        if noisy := noise_in(photographs.images.arrays):
            console.say(noisy)
    train_on, test, where = _hold_out(photographs, options.seed, options.test)
    measured_on = f"{where} to measure the errors on" if where else "none held out, so nothing is measured"
    console.say(f"{counted(len(train_on.images), 'photograph')} to train on, {measured_on}")
    crop = {} if options.training_crop is None else {"crop": options.training_crop}
    recipe = None if options.recipe == "plain" else options.recipe
    target = "noisy" if options.noisy else "clean"
    how = {"recipe": recipe, "shards": options.shards, "random_state": options.seed}
    model = Denoiser(noise=noise, target=target, **how, **crop, **training)
    if options.shards > 1:
        check_shards(options.shards, launched()[1], "--shards", training_of(model).batch_size)
    extra: dict[str, Any] = {"images": options.data, "preparation": table_of(photographs.framing), "faults": []}
    extra["seen"] = _seen(options.data, photographs, train_on)
    n_epochs = training_of(model).epochs
    crops = f"{model.crops_per_epoch:,} crops of {model.crop}×{model.crop}"
    slow = "" if crop else ", a minute or two each on two cores"
    console.say(f"{model.part('network')!r}, {counted(n_epochs, 'epoch')} of {crops}{slow}")
    with using_threads_everywhere(threads):
        with console.training_progress() as progress:
            progress.started(folder.name, n_epochs)
            train(model, train_on.images, None, folder, progress, force=options.force)
            epochs, seconds = len(model.history_), model.history_.seconds
            progress.finished(folder.name, f"{counted(epochs, 'epoch')} in {console.duration(seconds)}")
        if launched()[0] > 0:  # of several processes of torchrun the first measures and saves
            return
        result = None
        if test is not None:
            name = f"{folder.name}, {model.n_parameters_:,} weights"
            result = measure(model, name, test.images, where, None if options.noisy else sum(noise.sigma_range) / 2)
            mse, psnr = result.errors[name]
            extra["faults"] = result.faults(len(train_on.images))
            extra["test"] = {"n": mse.n, "sigma": result.sigma, "mse": mse.value, "psnr": psnr.value}
            extra["test"] |= {"against": "neighbouring pixels"} if options.noisy else {}
            head = f"on {result.where}, held out, {result.how}"
            extra["errors"] = error_facts(head, result.errors, folder.name)
        persistence.save(model, folder, extra=extra)
    remove(checkpoints_of(folder))
    if result is not None:
        write_preview(folder / persistence.PREVIEW, result.rows)
        print(error_table(head, result.errors))
        if options.noisy:
            console.say("the photographs were measured at half their size; at full size the order may be another")
        if options.noisy and (structure := result.structure) > 0.5:
            console.say(
                f"{structure:.0%} of what neighbours differ by is no noise but the picture, such as edges and letters: "
                "the table says little of how well noise is taken out; look at the preview"
            )
    for sentence in extra["faults"]:
        console.say(sentence)


def _own_noise(images: ImageList) -> GaussianNoise:
    """The noise of the photographs themselves, which is said."""
    sigmas = sigmas_of(images.arrays)
    low, typical, high = (round(float(sigma), 4) for sigma in (min(sigmas), np.median(sigmas), max(sigmas)))
    console.say(
        "a denoiser of photographs of any size, of noisy ones alone: noise is what is independent from pixel to pixel; "
        "without clean ones, every second pixel is denoised to measure, and held against its noisy neighbour"
    )
    growth = growth_of(images.arrays)
    of_what = "of most of their pixels" if growth else "texture counts as some"
    console.say(f"their noise, estimated: sigma {typical:g} of black to white ({low:g} to {high:g}; {of_what})")
    if growth:
        peak = f"{float(f'{growth.peak:.2g}'):g}"
        console.say(
            "their noise grows with the brightness, as that of photons does: sigma is about "
            f"{growth.dark:.2g} where they are dark and {growth.bright:.2g} where bright, and one for all is an "
            "average; if there are clean images like them, as of long exposures, fit these with "
            f"--corruption poisson:{peak} in place of --noisy"
        )
    if typical < CLEAN:
        console.say("they have hardly any noise to learn from; of clean photographs, give --corruption gaussian:0..0.2")
    # of a crop the estimate is less certain, so the network has seen others; and without the texture it is lower
    return GaussianNoise((0.75 * low, 1.1 * high))


def _read(options: argparse.Namespace) -> Photographs:
    """The photographs of DATA. Grey ones among colour ones become colour. Raises DataError if none can be read."""
    framing = with_range(framing_of(options), options, "train")
    path = part_of(options.data, "train")
    listing = listing_of(path)
    if listing is None:
        whole = load_images(options.data, framing, split="train")
        if whole.are_stored and (needed := 4 * whole.pixels.nbytes // whole.pixels.dtype.itemsize) > memory_limit():
            raise RequestError(
                f"{path}: {len(whole):,} images take {needed / 1e9:,.1f} GB of memory; a denoiser of photographs reads "
                "more than half of this machine's from a folder of image files, through a cache on the disk"
            )
        unit = 1 / 255 if whole.pixels.dtype == np.uint8 else 1.0
        marks = marks_of(whole)  # as they are stored, without --range
        assert marks is not None
        return Photographs(ImageList(tuple(whole.pixels), unit), marks, framing)
    with console.progress("photographs read") as on_progress:
        album = open_album(listing, framing, skip_bad=options.skip_bad, on_progress=on_progress)
    for note in [*(f"left out: {error}" for error in album.left_out), *album.notes]:
        console.say(note)
    return Photographs(of_album(album), album.marks, framing)


def _hold_out(photographs: Photographs, seed: int, share: float | None) -> tuple[Photographs, Photographs | None, str]:
    """What to train on, what to measure on, and that in words; None for a share of 0.

    Whole files are held out, for pages that follow each other are nearly the same: of one file its last pages, without
    the one before them, and of one photograph its right quarter. Copies of what is trained on are not measured.
    """
    images, share = photographs.images, _SHARE if share is None else share
    n = len(images)
    if share == 0:
        return photographs, None, ""
    if n == 1:
        whole = np.asarray(images.arrays[0])
        cut = whole.shape[2] * 3 // 4
        parts = (replace(images, arrays=(part,)) for part in (whole[..., :cut], whole[..., cut:]))
        left, right = (replace(photographs, images=part) for part in parts)
        return left, right, "the right quarter of one photograph"
    files = np.array([file_of(name) for name in images.names] or np.arange(n).astype(str))
    distinct = list(dict.fromkeys(files.tolist()))
    n_test = max(1, round((n if len(distinct) == 1 else len(distinct)) * share))
    if len(distinct) == 1:
        test = np.arange(n - min(n_test, n - 1), n)
        train_on = np.arange(max(1, test[0] - 1))
    else:
        order = numpy_generator(seed, "split").permutation(len(distinct))
        chosen = [distinct[i] for i in order[: min(n_test, len(distinct) - 1)]]
        is_test = np.isin(files, chosen)
        train_on, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    copies = np.isin(photographs.marks[test], photographs.marks[train_on])
    if copies.any() and not copies.all():
        console.say(f"left out of the measure, as copies of what is trained on: {copies.sum()} of {len(test)}")
        test = test[~copies]
    return photographs.subset(train_on), photographs.subset(test), counted(len(test), "photograph")


def _seen(data: str, photographs: Photographs, train_on: Photographs) -> dict[str, Any]:
    """What config.json keeps of the photographs that were trained on, as `leakage` reads it. None chose anything."""
    return {
        "collection": collection_of(data, "train"),
        "n": len(photographs.images),
        "n_trained_on": len(train_on.images),
        "left_out": sorted({*photographs.images.names} - {*train_on.images.names}),
        "n_selected_on": 0,
        "selected_on": [],
        "trained": to_text(train_on.marks),
        "selected": to_text([]),
    }
