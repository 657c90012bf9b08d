"""Ways to a better fit, in words: more training data, or a network that learns more of it."""

from __future__ import annotations

import numpy as np

from isthmus.commands.fitting.defaults import LEAST_SIDE, WIDE, crop_for
from isthmus.commands.images.inputs import is_named
from isthmus.data.images import Images
from isthmus.errors import counted
from isthmus.estimators.adapters import adapter_of
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.parts.code import SILENT
from isthmus.parts.networks import FEW

# Pixels of an image's shorter side from which a denoiser is better off with pieces of it, and their side: on faces of
# 25×25 it was worse than the noisy images themselves, and with pieces of 8×8 had half of their error.
_PIECES = ((64, 16), (16, 8))
_CONVOLVED, _AROUND = 8, 16  # pixels of the shorter side for convolutions, which see what is around a missing region
_HIDDEN = ("hidden", "decoder_hidden")
_TOO_FEW = 300  # images for a code in nats however long it trains: of 160 faces 200 epochs left more error than 20
_SILENT, _PRICE = 0.1, 0.15  # of the units, and of all nats: where less is silent and less is paid, beta is no cause
_SMALL = 128  # pixels: of patches of 16×16 two hidden layers were no better


def more_images(model: Autoencoder, images: Images, *, whole: bool, pieces: bool) -> str:
    """Ways to more training data that are not used yet. whole: the images are no patches. pieces: may be suggested.

    Under noise, images that are turned a little are no way where pieces are: of 62 micrographs they left 9 to 11
    times a noise of 1 %, and pieces of 8×8 a fifth of it; of pieces of 120 scans, as much as without (3 seeds each).
    Where a region is missing they change little for a dense network: of 112 scans convolutions left less than half of
    its error, and less than the images have as they are.
    """
    ways, side = ["more images"], min(images.shape[1:])
    corruption, is_cut = model.corruption, not whole
    if pieces and corruption is not None and whole and not corruption.takes_one_region:  # noise is local
        ways = [f"--patches {piece}x{piece}" for least, piece in _PIECES if side >= least][:1] + ways
        is_cut = len(ways) > 1
        ways = whole_images(model, images) + ways
    affine = "--augmentation affine" if model.augmentation is None and (corruption is None or not is_cut) else ""
    if (
        pieces
        and corruption is not None
        and corruption.takes_one_region
        and _takes_convolutions(model, images, _AROUND)
    ):
        return " or ".join([f"--network conv {affine}".strip(), *ways])
    return " or ".join([*ways, affine] if affine else ways)


def shorter_side(images: Images) -> int:
    """Pixels of the shortest side of the images, or, of patches, of the photographs that they were cut from, as far as
    patches reach."""
    sides = np.array(images.shape[1:])
    if images.places is None:
        return int(sides.min())
    last = np.zeros((int(images.places[:, 0].max()) + 1, 2), int)
    np.maximum.at(last, images.places[:, 0], images.places[:, 1:])
    return int((last[np.unique(images.places[:, 0])] + sides).min())


def whole_images(model: Autoencoder, images: Images) -> list[str]:
    """The denoiser that needs no code, for noise that it is for and images that are not tiny, if any."""
    side = min(images.shape[1:])
    if model.corruption is None or model.corruption.for_denoiser() is None:
        return []
    if side >= LEAST_SIDE:
        return ["--corruption alone, which trains a denoiser of whole photographs,"]
    if side < _AROUND or is_named(images.source):
        return []
    without = "" if model.augmentation is None else " without --augmentation"
    return [f"--training-crop {crop_for(side)}{without}, which trains a denoiser of whole images,"]


def whole_photographs(model: Autoencoder, images: Images) -> str:
    """The denoiser of the photographs that patches were cut from, for noise that it is for; "" for none.

    Of 50 clean micrographs with noise of 0.01 the filter of patches left 48.4 dB, convolutions of them 45.5 and 42.1.
    """
    corruption, side = model.corruption, shorter_side(images)
    if corruption is None or corruption.for_denoiser() is None or side < _AROUND or is_named(images.source):
        return ""
    crop = f" and with --training-crop {crop_for(side)}" if side < LEAST_SIDE else ""
    return f"whole photographs, without --patches{crop}"


def larger_network(model: Autoencoder, images: Images) -> str:
    """What to say of the network where it has as little error on other images as on its own, so that it is the limit.

    Of 12,000 patches of scans, 8×8, 64 numbers were a linear filter; 512 left half of its error, two layers 40 %.
    Of 8,000 of two photographs 512 numbers were that filter too; two layers left 87 % of its error, convolutions 73 %;
    of 25×25 faces in pieces two layers were the filter again, and convolutions left 80 %.
    """
    code_size, is_dense = model.network_.code_size, model.network_.shape is None
    is_small = is_dense and images.n_features <= _SMALL
    ways = [f"--bottleneck {WIDE}"] if is_dense and code_size < WIDE else []
    if _takes_convolutions(model, images, _CONVOLVED):
        ways.append("--network conv")
    elif is_small:
        ways.append(f"--hidden 256,256 --bottleneck 128 --epochs {2 * model.training_.epochs}")
    return " or ".join(ways or ["more images"])


def way_to_pca(model: Autoencoder, images: Images) -> str:
    """What keeps a training on these images from beginning at PCA's solution, and what to change; "" if all of it.

    Of many images it begins there where it is said to.
    """
    part, loss, is_few = model.network_.part, model.part("loss"), images.n_photographs < FEW
    if model.corruption is not None or not model.network_.code_part.is_plain:
        return ""
    if (linear := part.beginning_at_pca(widened=True)) is None:
        if model.network_.shape is None or len(images) >= FEW:  # of convolutions it is not None
            return ""
        dense = f"--network dense --bottleneck {adapter_of(model).code_size(images.n_features)}"
        without = f" without --loss {loss.kind}" if loss.bounded else ""
        return f"of so few PCA knows more: try {dense}{without}, whose training begins at its solution"
    widths = [(f"--{name.replace('_', '-')}", getattr(linear, name), getattr(part, name)) for name in _HIDDEN]
    wider = " ".join(f"{option} {','.join(map(str, new))}" for option, new, old in widths if new != old)
    is_linear = part.output == "linear"
    option = f"--loss {loss.kind}" if loss.bounded else "--output"  # such a loss takes a sigmoid, whatever is said
    without = "" if is_linear else f" without {option}"
    code = "" if part.code_output == "linear" else "--code-activation linear"
    if not is_few:
        output = "" if is_linear else "--output linear"
        words = " ".join(filter(None, (code, wider, output, "--start pca"))) + without * loss.bounded
        return f"begin at PCA's solution, by {words}" if linear != part or model.training_.start != "pca" else ""
    if code:
        words = f"a code of {part.code_output} units takes two of them where a linear one takes one"
        return f"{words}: try {f'{code} {wider}'.strip()}{without}"
    if wider:
        return f"hidden layers narrower than twice its code keep it from PCA's solution: try {wider}{without}"
    if without:
        return f"a training with a linear output begins at PCA's solution: leave {option} out"
    return "" if model.training_.start == "pca" else "begin at PCA's solution, by --start pca"


def way_of_nats(model: Autoencoder, images: Images, error: float, *, is_early: bool) -> str:
    """What lets a code in nats say more of an image: the variance that is likeliest, or less weight of its term.

    error: the mean squared one of other images. is_early: more epochs would only go further away from the best.
    """
    loss, n = model.part("loss"), len(images)
    if loss.is_squared and model.network_.code.noise is None and error and (weight := 0.5 / error) > loss.weight:
        return (
            f"it assumes noise of variance {0.5 / loss.weight:.2g} and leaves {error:.2g}: try --loss mse:{weight:.2g}"
        )
    more = "more images" if is_early else "more --epochs"
    if _price_costs(model, error * images.n_features):
        cheaper = f"--code gaussian:{model.network_.code_part.beta / 2:g}"
        return f"what a code says costs nats that an error does not count: try {cheaper}, or {more}"
    if n < FEW and (is_early or n < _TOO_FEW):
        of = counted(n, "image")
        return f"of {of} PCA knows more than it learns: try {more}; a variational code is for sampling"
    return f"try {more}"


def _price_costs(model: Autoencoder, error: float) -> bool:
    """Whether a smaller beta is likely to help: units are silent, or the nats of the code are much of all.

    Of 120 pages a code of 83 nats was beside 1,152 of the error, with no unit silent, and half of beta left as much
    error. Whoever gave a beta below 1 has tried it. error: the squared one of an image, summed.
    """
    code, beta = model.network_.code, getattr(model.network_.code_part, "beta", 0.0)
    if beta < 1 or (nats := getattr(code, "nats", None)) is None:
        return False
    weight = model.part("loss").weight if code.noise is None else float(code.noise.weight)
    n_silent, price = int((nats < SILENT).sum()), beta * float(nats.sum())
    return n_silent > _SILENT * len(nats) or price > _PRICE * (price + weight * error)


def _takes_convolutions(model: Autoencoder, images: Images, least: int) -> bool:
    return model.network_.shape is None and min(images.shape[1:]) >= least
