"""`isthmus fit` of a denoiser of photographs: images of any size, and Gaussian noise.

Images of less than 49 pixels a side go through a code, unless it is said of which side the crops to train on are.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, replace
from typing import Any

from isthmus import console, persistence
from isthmus.commands.fitting.continuation import Base, check_same, facts_of, remaining
from isthmus.commands.fitting.defaults import LEAST_CROP, LEAST_SIDE, crop_for
from isthmus.commands.fitting.judgement import before
from isthmus.commands.fitting.photograph_errors import has_diverged, is_worse, measure, ways
from isthmus.commands.fitting.photograph_parts import (
    check_photographs,
    hold_out,
    hold_out_again,
    noise_of,
    read,
    say_noise,
)
from isthmus.commands.fitting.training_record import NONE, record_of
from isthmus.commands.fitting.training_run import train
from isthmus.commands.images.inputs import existing, framing_of, is_named, with_range
from isthmus.commands.shared.options import checkpoints_of
from isthmus.commands.shared.part_syntax import option_of, unit_note
from isthmus.commands.shared.previews import write_preview
from isthmus.commands.shared.tables import error_facts, error_table
from isthmus.data.collections.collection import listing_of, open_images
from isthmus.data.collections.listing import is_mvtec
from isthmus.data.collections.reader_pool import all_shapes
from isthmus.data.framing import table_of
from isthmus.data.photographs.image_list import ImageList
from isthmus.errors import DataError, RequestError, counted, require
from isthmus.estimators.denoising.denoiser import Denoiser
from isthmus.estimators.denoising.denoiser_fit import LEAST_NOISY_CROP, training_of
from isthmus.files import remove
from isthmus.machine import check_shards, launched
from isthmus.training.hardware import using_threads_everywhere

_OF_A_CODE = (
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
    "start",
)
_OF_A_CHOICE = ("validation", "patience")
_KEPT = ("crop", "crops_per_epoch", "blind", "self_ensemble")  # of a denoiser that goes on


@dataclass(frozen=True)
class Request:
    """What a denoiser of photographs is to be trained on, said or, with --from, as the model was.

    noise: to be added; None for photographs that are noisy themselves. crop: the side of crops; None for the default.
    """

    noise: Any
    crop: int | None
    is_noisy: bool


def requested(
    options: argparse.Namespace, network: dict[str, Any], corruption: Any, source: Base | None
) -> Request | None:
    """What a denoiser of photographs is requested to learn; None if the command is another model's: nothing may be said
    that is of a code, patches or classes. source: of --from.

    Raises RequestError for a range of levels, for --noisy, --training-crop and --from a denoiser, where it is not.
    """
    if options.noisy and corruption is not None:
        raise RequestError(
            "--noisy learns from photographs that are noisy themselves, and --corruption adds noise to clean ones; "
            "give one of them"
        )
    noise = None if corruption is None else corruption.for_denoiser()
    noise = None if noise is None or noise.sigma_range[1] == 0 else noise
    denoiser = source if source is not None and source.is_of_photographs else None
    request = Request(noise, options.training_crop, options.noisy)
    if denoiser is not None:
        request = _as_trained(request, options, denoiser)
    elif not options.noisy and noise is None:
        if request.crop is not None:
            raise RequestError(
                "--training-crop is of a denoiser of photographs: give --corruption gaussian:0.1 or --noisy"
            )
        return None
    words = [] if source is None or denoiser else [f"--from {options.source}, which is of images through a code"]
    words += [f"--{name.replace('_', '-')}" for name in _OF_A_CODE if getattr(options, name) is not None]
    words += [option_of(name) for name in network if network[name] is not None]
    words += ["clip="] if "clip" in (options.corruption or "") else []
    sides, are_large = ([], False) if words or is_named(options.data) else _sides(options)
    crop, least = request.crop, LEAST_NOISY_CROP if request.is_noisy else LEAST_CROP
    takes_crops = bool(sides) and min(sides) >= least
    if crop is not None and options.training_crop is not None and (are_large or takes_crops):
        even, side = "even, " if request.is_noisy else "", max(sides) if are_large else min(sides)
        rule = f"{even}at least {least} and at most {side}, the shorter side of the images"
        require(least <= crop <= side and not (even and crop % 2), "--training-crop", rule, crop)
    if are_large or (takes_crops and crop is not None):
        return request
    if crop is not None or noise is None or len({*noise.sigma_range}) > 1:
        command = f"--corruption {options.corruption}: a range of levels" if noise else "--noisy: what is noise"
        command = command if crop is None else f"--training-crop {crop}: a denoiser of crops"
        command = f"--from {options.source}: a denoiser of photographs" if denoiser else command
        why = f"without {words[0]}" if words else f"of at least {LEAST_SIDE if crop is None else least} pixels a side"
        if takes_crops:
            why += f", or of smaller ones with --training-crop {crop_for(min(sides))}"
        elif not words and is_named(options.data):
            why = f"in files of your own, {why}"
        raise RequestError(f"{command} is learned from whole photographs {why}")
    return None


def _as_trained(request: Request, options: argparse.Namespace, source: Base) -> Request:
    """The request with what is not said as the denoiser of --from was trained. Raises RequestError for other noise."""
    model, noise = source.model, request.noise
    is_said = options.noisy or options.corruption is not None
    is_noisy = request.is_noisy or (not is_said and model.target == "noisy")
    if not is_said:
        noise = None if is_noisy else model.noise
    is_shot = False if is_noisy or noise is None else noise.shot_and_read[0]
    if (noise is None and not is_noisy) or is_shot != model.fitted_.is_shot:
        words = "--noisy" if options.noisy else f"--corruption {options.corruption}"
        kind = "Poisson noise" if model.fitted_.is_shot else "Gaussian noise"
        raise RequestError(
            f"{words}: {source.folder} is a denoiser of {kind}, and goes on with any level of that alone; leave "
            f"{words.split()[0]} out, or fit a new model without --from"
        )
    return Request(noise, request.crop or model.crop, is_noisy)


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


def run(
    options: argparse.Namespace,
    request: Request,
    training: dict[str, Any],
    threads: int,
    source: Base | None,
    former_epochs: int,
) -> None:
    """Read the photographs, train, measure beside what needs no training, save and print.

    source: of --from. former_epochs: those of the model at -o, which goes on; 0 for a new one.
    """
    if choosing := [name for name in _OF_A_CHOICE if getattr(options, name) is not None]:
        raise RequestError(
            f"--{choosing[0]}: a denoiser of photographs trains all its epochs, and no photographs choose the best; "
            "leave it out, or cut patches with --patches HxW"
        )
    folder, noise, growth = options.out, request.noise, None
    base = Base.open(folder) if former_epochs else source
    framing = framing_of(options) if source is None else source.framing(options)
    framing = with_range(framing, options, "train")
    if noise is not None and (units := unit_note(noise, framing.value_range)):
        console.say(units)
    photographs = read(options, framing)
    if source is not None:
        check_photographs(source, photographs.images)
    if request.is_noisy:
        noise, growth = noise_of(photographs.images)
    else:
        say_noise(noise, photographs.images)
    if source is None:
        parts = hold_out(photographs, options.seed, options.test)
    else:
        parts = hold_out_again(source, photographs, options)
    console.say(parts.summary)
    model = _unfitted(options, replace(request, noise=noise), training, base)
    model.set_params(**remaining(options.epochs, former_epochs))
    if options.shards > 1:
        check_shards(options.shards, launched()[1], "--shards", training_of(model).batch_size)
    n_epochs = training_of(model).epochs
    facts = facts_of(options, training, {"corruption": request.noise}, photographs.framing, photographs.images, source)
    facts |= {"--noisy": request.is_noisy or None, "--training-crop": model.crop}
    if base is not None:
        if former_epochs:
            check_same(base, facts)
        console.say(base.words(former_epochs, n_epochs))
    earlier = None if source is None else source.extra.get("seen")
    seen = (photographs.marked, parts.train.marked, NONE)
    extra: dict[str, Any] = {
        "images": options.data,
        "preparation": table_of(photographs.framing),
        "faults": [],
        "seen": record_of(options.data, "train", *seen, before=earlier, doubt=parts.doubt),
        "fit": {"epochs": former_epochs + n_epochs, "facts": facts},
    }
    if not (photographs.images.names or parts.doubt):  # so it has always been noted of arrays
        extra["seen"] |= {"left_out": [], "selected_on": []}
    crops = f"{model.crops_per_epoch:,} crops of {model.crop}×{model.crop}"
    slow = "" if request.crop else ", a minute or two each on two cores"
    console.say(f"{model.part('network')!r}, {counted(n_epochs, 'epoch')} of {crops}{slow}")
    with using_threads_everywhere(threads):
        if base is not None:
            base.hand_to(model)
        with console.training_progress() as progress:
            progress.started(folder.name, n_epochs)
            train(model, parts.train.images, None, folder, progress, force=options.force)
            epochs, seconds = len(model.history_), model.history_.seconds
            progress.finished(folder.name, f"{counted(epochs, 'epoch')} in {console.duration(seconds)}")
        if launched()[0] > 0:  # of several processes of torchrun the first measures and saves
            return
        model.set_params(warm_start=False)  # a later `fit` of the loaded model begins anew unless asked otherwise
        extra["cycles"] = [*([] if base is None else base.cycles), len(model.history_)]
        sigma = None if request.is_noisy else sum(noise.sigma_range) / 2
        former, result = "" if base is None else before(base), None
        worse = goes_back = _goes_back(model, base, parts.train.images, sigma)
        diverged = has_diverged(model, None if base is None else base.model)
        if parts.test is not None:
            models = {f"{folder.name}, {model.n_parameters_:,} weights": model}
            models |= {} if base is None or goes_back else {former: base.model}
            result = measure(models, parts.test.images, parts.where, sigma, growth)
            mse, psnr = next(iter(result.errors.values()))
            worse, diverged = worse or result.is_worse_than(former), diverged or result.is_far_off
            extra["faults"] = result.faults(ways(model, parts.train.images, diverged=diverged, worse=worse), former)
            extra["test"] = {"n": mse.n, "sigma": result.sigma, "mse": mse.value, "psnr": psnr.value}
            extra["test"] |= {"against": "neighbouring pixels"} if request.is_noisy else {}
            head = f"{parts.head(result.where)}, {result.how}"
            extra["errors"] = error_facts(head, result.errors, folder.name)
        persistence.save(model, folder, extra=extra)
    remove(checkpoints_of(folder))
    if result is not None:
        write_preview(folder / persistence.PREVIEW, result.rows)
        print(error_table(head, result.errors))
        for doubt in result.doubts if request.is_noisy else ():
            console.say(doubt)
    for sentence in extra["faults"]:
        console.say(sentence)
    if worse:
        rate = f"--learning-rate {model.training_.learning_rate / 4:.2g}"
        way = f"--from {shlex.quote(str(folder))} -o NEW with {rate}" if former_epochs else rate
        words = f"it leaves more error than {former}"
        if goes_back:
            n = counted(n_epochs, "epoch")
            words = f"after {n} more it left more error on what it trains on, so its weights are as before"
        console.say(f"{words}: try {'' if diverged else 'more --epochs, or '}{way}")
    look = "" if result is None else f"  (look at {folder / persistence.PREVIEW})"
    console.say(f"model: {folder.resolve()}{look}")
    noisy = shlex.quote(options.data) if request.is_noisy else "NOISY"
    console.say(f"next: isthmus denoise {shlex.quote(str(folder))} {noisy} -o denoised")


def _goes_back(model: Denoiser, base: Base | None, images: ImageList, sigma: float | None) -> bool:
    """Whether the model is worse on images to train on than the one that it began with; then it gets its weights."""
    if base is None or not is_worse(model, base.model, images, sigma):
        return False
    model.network_.load_state_dict(base.model.network_.state_dict())
    return True


def _unfitted(options: argparse.Namespace, request: Request, training: dict[str, Any], base: Base | None) -> Denoiser:
    """The model to be trained: of the network and the crops of the base, if there is one."""
    chosen: dict[str, Any] = {} if request.crop is None else {"crop": request.crop}
    if base is not None:
        chosen = {name: getattr(base.model, name) for name in _KEPT} | {"network": base.model.network_.part} | chosen
    recipe = None if options.recipe == "plain" else options.recipe
    how = {"recipe": recipe, "shards": options.shards, "random_state": options.seed}
    return Denoiser(noise=request.noise, target="noisy" if request.is_noisy else "clean", **how, **chosen, **training)
