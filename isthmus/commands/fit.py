"""`isthmus fit`: train a model on images, and compare it with a mean image and a PCA."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.commands.shared.options import (
    DATA_HELP,
    add_allow_imports,
    add_command,
    add_sizes,
    check_target,
    checkpoints_of,
    threads_of,
)
from isthmus.commands.shared.part_syntax import add_network_options, network_words, read_words, unit_note
from isthmus.commands.shared.training_options import add_training_options, training_words
from isthmus.errors import RequestError, require
from isthmus.machine import check_shards, launched

if TYPE_CHECKING:
    from isthmus.data.images import Images

_TEXT = """
    Trains an autoencoder on your images, and compares it with a mean image and a PCA. Some images are held out to
    choose the best epoch, and others, which choose nothing, to measure the errors. What you do not set is chosen by the
    number and size of the images, and printed. --corruption trains a denoiser.

    MODEL is a folder of safetensors and JSON that can be copied anywhere, with a picture, preview.png. To resume a fit
    that was stopped, give the same command again.

    To train a finished model further on the same images, give the same command with more --epochs. Use --from to start
    another model, on these or other images, from its weights; its network and other settings, such as a denoiser's
    noise and crop, are kept unless set. Either is a new cycle of training, not the same bits as one long fit, and no
    image that the model was trained on counts as held out.
"""
_EXAMPLES = """
    isthmus fit digits -o my-model
    isthmus fit photographs/ -o denoiser --patches 16x16 --corruption gaussian:0.1
    isthmus fit noisy-scans/ -o cleaner --noisy
    isthmus fit scans/ -o small --resize 64x64 --network conv --channels 16,32 --epochs 50
    isthmus fit more/ -o tuned --from denoiser --epochs 10
    isthmus fit digits -o sparse --hidden 128 --bottleneck 256 --penalty l1:1e-3
"""
_MANY = 300_000  # patches: an epoch takes minutes on two cores


def add(commands: Any) -> None:
    """The parser of `isthmus fit`."""
    command = add_command(commands, "fit", run, "DATA -o MODEL", "train a model on your images", _TEXT, _EXAMPLES)
    command.set_defaults(interrupted=_left)
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    command.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL", help="the folder of the model")
    command.add_argument(
        "--from",
        type=Path,
        metavar="MODEL",
        dest="source",
        help="start from this model's weights; network, sizes, crop, corruption, penalty and loss are kept unless set",
    )
    add_allow_imports(command)
    command.add_argument(
        "--force", action="store_true", help="replace an existing model, or a stopped fit with other settings"
    )
    group = command.add_argument_group("images")
    add_sizes(group)
    group.add_argument("--patches-per-image", type=int, metavar="N", help="take N random patches of each image")
    group.add_argument("--classes", metavar="A,B", help="only images with these labels")
    group.add_argument(
        "--validation",
        type=float,
        metavar="SHARE",
        help="held out to choose the best epoch (0.1, at most 2,000 images); without --test the errors are of these",
    )
    group.add_argument(
        "--test",
        type=float,
        metavar="SHARE",
        help="held out to measure the errors (0.1, at least 10 images up to a fifth, at most 2,000); 0 for none",
    )
    group.add_argument(
        "--training-crop",
        type=int,
        metavar="PIXELS",
        help="side of the crops that a denoiser of photographs is trained on (64; at least 8, with --noisy 16); with "
        "it small images are such too",
    )
    add_network_options(command)
    group = command.add_argument_group("objective")
    group.add_argument(
        "--corruption",
        metavar="WORDS",
        help="trains a denoiser: gaussian:0.3 (of black to white), salt-and-pepper:0.1, masking:0.3, occlusion:6, "
        "poisson:30 (photons at white); combine with +",
    )
    group.add_argument(
        "--noisy",
        action="store_true",
        help="the photographs are noisy themselves, and a denoiser learns from them alone: their noise must be "
        "independent from pixel to pixel, as before demosaicing and JPEG",
    )
    group.add_argument(
        "--augmentation",
        metavar="WORDS",
        help="also trains on slightly rotated, scaled, sheared and shifted images: affine, or affine:8:shift=2",
    )
    group.add_argument(
        "--code",
        metavar="WORDS",
        help="between encoder and decoder: gaussian makes a variational autoencoder, gaussian:4 one of beta 4; with "
        "--loss mse:50 noise of variance 1 / (2 * 50), else learned noise; quantized:64:4 is four of 64 vectors each",
    )
    group.add_argument("--penalty", metavar="WORDS", help="makes codes sparse: l1:1e-5, or kl:WEIGHT:TARGET")
    group.add_argument("--loss", metavar="WORD", help="mse or bce (mse)")
    group = command.add_argument_group("training")
    group.add_argument(
        "--recipe",
        choices=("fast", "plain"),
        default="fast",
        help="chooses what you do not set here. fast: one cycle of a high learning rate over few epochs, from weights "
        "scaled to your images; plain: a constant rate, until the validation loss stops falling (fast). Both "
        "standardize: each channel minus its median, divided by its spread",
    )
    add_training_options(group)
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the weights, the order, the noise and the split (0)"
    )
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (the cores)")
    group.add_argument(
        "--shards",
        type=int,
        default=1,
        metavar="S",
        help="cut each batch into S pieces, of one thread each, which processes share: torchrun --nproc-per-node 2 -m "
        "isthmus fit ... --shards 4; with 1, 2 or 4 processes the model is the same, to the bit (1)",
    )


def _left(options: argparse.Namespace) -> str:
    """What a stopped fit has left, in words."""
    places = sorted(checkpoints_of(options.out).glob("[0-9]*/history.jsonl"))
    if not places:
        return "no epoch was finished, so there is no checkpoint; start again"
    with contextlib.suppress(OSError):
        epochs = places[-1].read_bytes().count(b"\n")
        return f"a checkpoint after epoch {epochs} is kept, and the same command resumes from there"
    return "a checkpoint is kept, and the same command resumes from there"


def run(options: argparse.Namespace) -> None:
    """Check the options, read the images, train, measure, save and print."""
    kind, fields = network_words(options)
    words = {role: getattr(options, role) for role in ("corruption", "code", "penalty", "loss", "augmentation")}
    words["loss"] = words["loss"] or "mse"
    parts: dict[str, Any] = {
        role: read_words(role, text, f"--{role}") if text else None for role, text in words.items()
    }
    if parts["code"] is not None:
        fields = parts["code"].network_fields | fields
    training = training_words(options)
    validation, test = options.validation, options.test
    require(validation is None or 0 < validation < 1, "--validation", "a share above 0 and below 1", validation)
    require(test is None or 0 <= test < 1, "--test", "a share of at least 0 and below 1", test)
    require(options.seed >= 0, "--seed", "at least 0", options.seed)
    check_shards(options.shards, launched()[1], "--shards")
    if options.shards > 1:
        require(options.threads in (None, 1), "--threads", "left out: each of --shards has one", options.threads)
        options.threads = 1
    threads = threads_of(options)
    check_target(options.out, options.data, needed=64 << 20)
    is_there = _is_there(options.out)

    from isthmus import console, persistence
    from isthmus.commands.fitting import continuation, photograph_fit, training_run, whole_photographs
    from isthmus.commands.fitting.defaults import Wanted, check_patches, choose, fill_with_the_mean
    from isthmus.commands.fitting.training_record import table_of as record_of
    from isthmus.commands.images import leakage
    from isthmus.commands.images.holdout import hold_out
    from isthmus.commands.images.inputs import framing_of, load_images, with_range
    from isthmus.commands.images.model_folder import as_trained
    from isthmus.data.framing import table_of
    from isthmus.data.noise_estimate import noise_in
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.denoising.denoiser import Denoiser

    persistence.check_place(options.out)
    source = None if options.source is None else continuation.Base.open(options.source)
    of_photographs = photograph_fit.requested(options, fields, parts["corruption"], source)
    goes_on, trained = is_there and not options.force, Autoencoder if of_photographs is None else Denoiser
    former_epochs = continuation.requested_epochs(options.out, options.epochs, trained) if goes_on else 0
    if of_photographs is not None:
        photograph_fit.run(options, of_photographs, training, threads, source, former_epochs)
        return
    base = continuation.Base.open(options.out) if former_epochs else source
    if base is not None:
        continuation.check_network(base, kind, fields)
    if source is not None and options.start is not None:
        raise RequestError(
            f"--start: the fit begins with the weights of --from {options.source}; leave one of them out"
        )
    if source is not None:
        parts |= {role: source.model.part(role) for role in parts if getattr(options, role) is None}
    framing = with_range(framing_of(options) if source is None else source.framing(options), options, "train")
    check_patches(framing, parts["corruption"])
    if parts["corruption"] is not None and (units := unit_note(parts["corruption"], framing.value_range)):
        console.say(units)
    whole = load_images(options.data, framing, split="train", data_dir=options.data_dir, skip_bad=options.skip_bad)
    images = _only(whole, options.classes)
    if noisy := noise_in(images.pixels):
        console.say(noisy)
    if source is None:
        split = hold_out(images, options.seed, validation, test)
    else:
        source.check(images.shape, images.source, framing)
        split = continuation.hold_out_again(source, images, options)
    console.say(split.summary)
    if framing.patches and framing.patches_per_image is None and len(split.train) > _MANY:
        console.say("so many patches take minutes per epoch: --patches-per-image N takes N random ones of each image")
    if copied := leakage.copies(split):
        console.say(copied)
    if text := words["corruption"]:
        text = text if source is None else as_trained(text, source.model.corruption, source.folder)[0]
        parts["corruption"] = read_words("corruption", fill_with_the_mean(text, split.train), "--corruption")
    fixed_training = {} if base is None else base.fixed_training | continuation.remaining(options.epochs, former_epochs)
    wanted = Wanted(
        images.shape,
        len(split.train),
        n_photographs=split.train.n_photographs,
        kind=kind,
        fields=fields,
        given=None if base is None else base.model.network_.part,
        training=training | fixed_training,
        recipe=options.recipe,
        **{role: parts[role] for role in ("corruption", "penalty", "loss")},
        plain=parts["code"] is None or parts["code"].is_plain,
        n_pieces=1 if parts["code"] is None else parts["code"].n_pieces,
    )
    choice = choose(wanted)
    if choice.why:
        console.say(choice.why)
    if parts["code"] is not None and parts["code"].in_nats and options.loss is None:
        if base is None or base.model.network_.code.noise is not None:
            parts["code"] = parts["code"].learning_noise()
        parts["loss"] = parts["loss"] if base is None else base.model.part("loss")
    facts = continuation.facts_of(options, training, parts, framing, images, source)
    epochs = int(choice.training["epochs"])
    if base is not None:
        if former_epochs:
            continuation.check_same(base, facts)
        console.say(base.words(former_epochs, epochs))
    if options.shards > 1:
        most = min(len(split.train), int(choice.training["batch_size"]))
        check_shards(options.shards, launched()[1], "--shards", most)
    model = Autoencoder(choice.network, **parts, **choice.training, shards=options.shards, random_state=options.seed)
    # of what is left behind nothing is known to the weights
    is_anew = source is None or source.begins_anew(split.train, split.validation)
    before = None if source is None or (is_anew and split.test is not None) else source.extra.get("seen")
    noted = {
        "preparation": table_of(framing),
        "seen": record_of(options.data, "train", whole, split, before),
        "fit": {"epochs": former_epochs + epochs, "facts": facts},
    }
    uncut = None
    if framing.patches:
        uncut = whole_photographs.Uncut(options.data, options.data_dir, framing, options.seed, split.regions)
    job = training_run.Job(model, split, options.out, threads, noted, options.force, uncut, base)
    if (fitted := training_run.fit(job)) is not None:
        print(fitted.table())
        training_run.print_next_steps(fitted, options)


def _is_there(folder: Path) -> bool:
    """Whether there is a model at -o. Raises RequestError for anything else, which is never replaced."""
    if folder.name in ("", ".."):  # its checkpoints lie beside it, under its name
        raise RequestError(f"-o {folder} is not a name for the model's folder; give a path that ends in one")
    if not folder.exists() and not folder.is_symlink():
        return False
    if not (folder / "config.json").is_file():
        if folder.is_dir() and not any(folder.iterdir()):
            return False
        raise RequestError(f"{folder} exists and is not a model; choose another -o")
    return True


def _only(images: Images, classes: str | None) -> Images:
    if classes is None:
        return images
    from isthmus.commands.images.inputs import label_of

    return images.only(tuple(label_of(images, word) for word in classes.split(",")))
