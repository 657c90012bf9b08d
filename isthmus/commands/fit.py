"""`isthmus fit`: one model, from images to a folder, and whether it has learned more than costs nothing."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.commands.options import DATA_HELP, add_command, add_sizes, check_target, threads_of
from isthmus.commands.words import PLUS, add_network_options, network_words, read_words
from isthmus.errors import RequestError, require
from isthmus.parts import (
    DEVICES,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    Masking,
    Occlusion,
    Training,
)
from isthmus.parts.corruptions import MEAN

if TYPE_CHECKING:
    from isthmus.commands.trained import Fitted
    from isthmus.data.images import Images

_TEXT = """
    Learns a code for your images and a way back, and says at the end how much better the model is than a mean image and
    a PCA. Some images are held out to choose the best epoch by, and others, which chose nothing, to measure the errors
    on. What you do not say is chosen by the number and the size of the images, and printed. A --corruption makes a
    denoiser: it is shown noisy images and learns the clean ones.

    MODEL is a folder of safetensors and JSON that can be copied anywhere, with a picture, preview.png. A fit that is
    stopped goes on from where it was when the same command is given again.
"""
_EXAMPLES = """
    isthmus fit digits -o my-model
    isthmus fit photographs/ -o denoiser --patches 16x16 --corruption gaussian:0.1
    isthmus fit scans/ -o small --resize 64x64 --network conv --channels 16,32 --epochs 50
    isthmus fit digits -o sparse --hidden 128 --bottleneck 256 --penalty l1:1e-3
"""
_LIGHT = 0.5  # of most pixels: above it what is black is no ground
# Options of the training: the field of `Training`, its type, what --help says.
_TRAINING = (
    ("epochs", int, "N", "passes over the images, at most"),
    ("batch_size", int, "N", "images in a step"),
    ("learning_rate", float, "RATE", "of the optimizer; with one-cycle and cosine the highest"),
    ("optimizer", str, "WORD", f"{', '.join(OPTIMIZERS)} ({Training().optimizer})"),
    ("schedule", str, "WORD", f"of the learning rate: {', '.join(SCHEDULES)}"),
    ("patience", int, "N", "stop after N epochs without a better validation loss, and keep the best"),
    ("precision", str, "WORD", f"{', '.join(PRECISIONS)} ({Training().precision})"),
    ("device", str, "WORD", f"{', '.join(DEVICES)} ({Training().device})"),
)


def add(commands: Any) -> None:
    """The parser of `isthmus fit`."""
    command = add_command(commands, "fit", run, "DATA -o MODEL", "train a model on your images", _TEXT, _EXAMPLES)
    command.set_defaults(
        interrupted="a checkpoint is kept after each ten seconds of training, and the same command goes on from there"
    )
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    command.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL", help="the folder of the model")
    command.add_argument(
        "--force", action="store_true", help="replace a model, or a stopped fit of another kind, that is there"
    )
    group = command.add_argument_group("images")
    add_sizes(group)
    group.add_argument("--patches-per-image", type=int, metavar="N", help="take N patches of each image at random")
    group.add_argument("--classes", metavar="A,B", help="only images with these labels")
    group.add_argument(
        "--validation",
        type=float,
        metavar="SHARE",
        help="held out to choose the best epoch by (0.1, at most 2,000 images); without --test the errors are of these",
    )
    group.add_argument(
        "--test",
        type=float,
        metavar="SHARE",
        help="held out to measure the errors on (0.1, at least 10 images up to a fifth, at most 2,000); 0 for none",
    )
    add_network_options(command)
    group = command.add_argument_group("what is learned")
    group.add_argument(
        "--corruption",
        metavar="WORDS",
        help="makes a denoiser: gaussian:0.3, salt-and-pepper:0.1, masking:0.3, occlusion:6, poisson:30; a + composes",
    )
    group.add_argument(
        "--augmentation",
        metavar="WORDS",
        help="trains on images a little turned, scaled, sheared and shifted too: affine, or affine:8:shift=2",
    )
    group.add_argument("--penalty", metavar="WORDS", help="makes codes sparse: l1:1e-5, or kl:WEIGHT:TARGET")
    group.add_argument("--loss", default="mse", metavar="WORD", help="mse or bce (mse)")
    group = command.add_argument_group("training")
    group.add_argument(
        "--recipe",
        choices=("fast", "plain"),
        default="fast",
        help="chooses what you do not say here. fast: one cycle of a high learning rate over few epochs, from weights "
        "scaled to your images; plain: a constant rate, until the held-out images get no better (fast). Both "
        "standardize: each channel minus its median, in units of its spread",
    )
    for name, kind, metavar, said in _TRAINING:
        group.add_argument("--" + name.replace("_", "-"), type=kind, metavar=metavar, help=said)
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="for the start, the order, the noise and what is held out (0)"
    )
    group.add_argument("--threads", type=int, metavar="N", help="CPU threads (the cores)")


def run(options: argparse.Namespace) -> None:
    """Check everything that can be checked without the images, then read them, train, measure, save and print."""
    kind, fields = network_words(options)
    parts = {
        "corruption": read_words("corruption", options.corruption, "--corruption") if options.corruption else None,
        "penalty": read_words("penalty", options.penalty, "--penalty") if options.penalty else None,
        "loss": read_words("loss", options.loss, "--loss"),
    }
    training = {name: getattr(options, name) for name, *_ in _TRAINING}
    training = {name: value for name, value in training.items() if value is not None}
    augmentation = read_words("augmentation", options.augmentation, "--augmentation") if options.augmentation else None
    Training(**training)
    validation, test = options.validation, options.test
    require(validation is None or 0 < validation < 1, "--validation", "a share above 0 and below 1", validation)
    require(test is None or 0 <= test < 1, "--test", "a share of at least 0 and below 1", test)
    require(options.seed >= 0, "--seed", "at least 0", options.seed)
    threads = threads_of(options)
    check_target(options.out, options.data, needed=64 << 20)
    _refuse_what_is_there(options.out, force=options.force)

    from isthmus import console, persistence
    from isthmus.commands import seen, trained, uncut
    from isthmus.commands.defaults import choose
    from isthmus.commands.held_out import hold_out
    from isthmus.commands.inputs import framing_of, load_images, table_of, with_range
    from isthmus.data.noise import noise_in

    persistence.check_place(options.out)
    framing = with_range(framing_of(options), options, "train")
    whole = load_images(options.data, framing, split="train", data_dir=options.data_dir, skip_bad=options.skip_bad)
    images = _only(whole, options.classes)
    if noisy := noise_in(images.pixels):
        console.say(noisy)
    parted = hold_out(images, options.seed, validation, test)
    console.say(parted.said)
    if options.corruption:
        options.corruption = missing_as_the_ground(options.corruption, parted.train)
        parts["corruption"] = read_words("corruption", options.corruption, "--corruption")
    choice = choose(
        images.shape,
        len(parted.train),
        n_photographs=len(set(parted.train.photographs.tolist())),
        kind=kind,
        fields=fields,
        training=training,
        recipe=options.recipe,
        **parts,
    )
    if choice.why:
        console.say(choice.why)
    recipe = trained.Recipe(choice.network, choice.training, options.seed, threads, augmentation=augmentation, **parts)
    facts = {"preparation": table_of(framing), "seen": seen.table_of(options.data, "train", whole, parted)}
    photographs = None
    if framing.patches:
        photographs = uncut.Uncut(options.data, options.data_dir, framing, options.seed, parted.regions)
    fitted = trained.fit(recipe, parted, options.out, facts=facts, force=options.force, uncut=photographs)
    print(fitted.table())
    _say_what_next(fitted, options)


def missing_as_the_ground(text: str, images: Images) -> str:
    """The words of a corruption, in which missing pixels of light images are their image's mean where nothing is said.

    Black squares on white pages would be the strongest strokes of all, and what is learned is to find them.
    """
    import numpy as np

    from isthmus import console

    words = PLUS.split(text)
    unsaid = [word for word in words if word.split(":")[0] in (Masking.kind, Occlusion.kind) and word.count(":") == 1]
    which = np.linspace(0, len(images) - 1, min(len(images), 500)).round().astype(int)
    if not unsaid or np.median(images.floats(which)) <= _LIGHT:
        return text
    filled = "+".join(f"{word}:value={MEAN}" if word in unsaid else word for word in words)
    console.say(f"the images are light, so what is missing is drawn as the mean of its image: --corruption {filled}")
    return filled


def _refuse_what_is_there(folder: Path, *, force: bool) -> None:
    """A finished model is replaced only if that was asked for, and anything else never."""
    if folder.name in ("", ".."):  # its checkpoints lie beside it, under its name
        raise RequestError(f"-o {folder} does not name the model's folder; give its path with a name of its own")
    if not folder.exists() and not folder.is_symlink():
        return
    if not (folder / "config.json").is_file():
        if folder.is_dir() and not any(folder.iterdir()):
            return
        raise RequestError(f"{folder} exists and is not a model; choose another -o")
    if not force:
        raise RequestError(f"{folder} already holds a model; choose another -o, or add --force to replace it")


def _only(images: Images, classes: str | None) -> Images:
    if classes is None:
        return images
    from isthmus.commands.inputs import label_of

    return images.only(tuple(label_of(images, word) for word in classes.split(",")))


def _say_what_next(fitted: Fitted, options: argparse.Namespace) -> None:
    from isthmus import console

    for line in fitted.warnings:
        console.say(line)
    console.say(f"model: {options.out.resolve()}  (look at {options.out / 'preview.png'})")
    model, data = shlex.quote(str(options.out)), shlex.quote(options.data)
    if options.corruption:
        command = f"isthmus denoise {model} {data} -o denoised --corruption {options.corruption}"
    else:
        command = f"isthmus evaluate {model} {data}"
    if options.skip_bad:
        command += " --skip-bad"
    console.say(f"next: {command}")
