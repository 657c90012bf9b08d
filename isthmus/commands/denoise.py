"""`isthmus denoise`: denoise images in one pass, or by searching the code of a decoder."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from isthmus.commands.shared.options import add_command, add_model_and_data, add_out, check_target
from isthmus.commands.shared.part_syntax import read_words, unit_note
from isthmus.errors import RequestError, counted

if TYPE_CHECKING:
    from isthmus.commands.images.model_folder import Opened
    from isthmus.estimators.denoising.denoiser_adapter import AtLevel
    from isthmus.parts import Corruption

_TEXT = """
    Denoises images in one pass, with a model that was trained to (`isthmus fit ... --corruption ...`). With --prior, it
    searches instead for the code whose decoded image is nearest to the noisy one: this takes longer, and needs a model
    with a code much smaller than its images, which need not have been trained on noise.

    An image file keeps its name, format, size and bit depth; of an array comes an array (n, channels, height, width),
    of uint8 where it was uint8, else of float32 in the units of --range. To test a denoiser on clean images, add noise
    with --corruption: then the errors before and after are printed.
"""
_EXAMPLES = """
    isthmus denoise denoiser noisy-photographs/ -o clean/
    isthmus denoise denoiser photographs/ -o tried-out/ --corruption gaussian:0.1
    isthmus denoise my-model digits -o digits.npz --corruption gaussian:0.5 --prior
"""


def add(commands: Any) -> None:
    """The parser of `isthmus denoise`."""
    summary = "remove noise from images"
    command = add_command(commands, "denoise", run, "MODEL DATA -o OUT", summary, _TEXT, _EXAMPLES)
    add_model_and_data(command)
    add_out(command)
    command.add_argument("--prior", action="store_true", help="search for the code, with the decoder as a prior")
    command.add_argument(
        "--sigma",
        type=float,
        metavar="S",
        help="of photographs: of the noise, of black to white; of Poisson noise at white, 1/√PEAK (estimated)",
    )
    command.add_argument(
        "--self-ensemble",
        action="store_true",
        help="of photographs: average over the eight flips and turns: a little better, in eight times the time",
    )
    command.add_argument(
        "--corruption",
        metavar="WORDS",
        help="add this noise to clean images, like gaussian:0.1; what is unsaid is as in the training",
    )


def run(options: argparse.Namespace) -> None:
    """Denoise all images; with a corruption, print how much of it is left."""
    if options.corruption:
        read_words("corruption", options.corruption, "--corruption")  # before the model is opened
    from isthmus.commands.shared.output_folder import check_free

    check_target(options.out, options.data)
    check_free(options.out, force=options.force)

    from isthmus import console
    from isthmus.commands.images.model_folder import open_model
    from isthmus.commands.images.pictures import pictures_of
    from isthmus.commands.images.restoration import restore
    from isthmus.commands.images.unit_note import other_numbers_noted
    from isthmus.estimators.adapters import adapter_of

    opened = open_model(options)
    part = opened.corruption(options.corruption) if options.corruption else None
    if part is not None and (units := unit_note(part, opened.framing.value_range)):
        console.say(units)
    if is_denoiser := adapter_of(opened.model).takes_any_size:
        opened.model.self_ensemble |= options.self_ensemble
    elif options.sigma is not None:
        raise RequestError(f"--sigma is for a denoiser of photographs; {options.model} takes no noise level")
    elif options.self_ensemble:
        raise RequestError(f"--self-ensemble is for a denoiser of photographs, and {options.model} is none")
    model = _at_level(opened, options.sigma, part) if is_denoiser else opened.model
    if options.prior:
        model = _searched(opened)
    elif not is_denoiser:
        _note_its_training(opened, part)
    with other_numbers_noted():
        table, changes = restore(
            options, opened, pictures_of(options, opened), model=model, corruption=part, name="denoised"
        )
    if is_denoiser and part is None and options.sigma is None:
        _note_the_level(opened, model.sigmas, changes)
        _note_correlation(model.correlated)
    if part is not None:
        print(table)


def _at_level(opened: Opened, sigma: float | None, part: Corruption | None) -> AtLevel:
    """The denoiser, told the level that is given, or that of the noise that is added."""
    from isthmus.data.formats.page import range_option
    from isthmus.estimators.denoising.denoiser_adapter import AtLevel, with_level_of
    from isthmus.parts import checks

    if sigma is not None:
        checks.not_negative("--sigma", sigma)
        if sigma >= 1:
            value_range = opened.framing.value_range
            low, high = value_range or (0, 255)
            of = f"the numbers of {range_option(value_range)}" if value_range else "0 to 255"
            raise RequestError(
                f"--sigma is a share of black to white, got {sigma:g}; {sigma:g} of {of} is {sigma / (high - low):.3g}"
            )
        _note_a_told_level(opened, sigma)
    elif part is not None:
        return with_level_of(opened.model, part) if part.for_denoiser() else AtLevel(opened.model, None)
    return AtLevel(opened.model, sigma)


def _levels(opened: Opened) -> tuple[tuple[float, float], str]:
    """The levels that the model was trained on, and these in words."""
    low, high = opened.model.noise.sigma_range
    return (low, high), f"sigma {low:.3g}" + (f" to {high:.3g}" if high > low else "")


def _note_a_told_level(opened: Opened, sigma: float) -> None:
    """Say that the model does not know the level that it is told, if it does not."""
    from isthmus import console

    (low, high), span = _levels(opened)
    if not 0.9 * low <= sigma <= 1.1 * high:
        console.say(f"--sigma {sigma:g}: {opened.folder} was trained on {span}, and knows no other noise")


def _note_the_level(opened: Opened, sigmas: list[float], changes: list[float]) -> None:
    """What noise was estimated, and whether the model knows such noise. changes: of each image, mean square."""
    from isthmus import console
    from isthmus.data.noise_estimate import CLEAN

    low, high = min(sigmas), max(sigmas)
    known, span = _levels(opened)
    of_all = f"{low:.3f}" if len(sigmas) == 1 else f"{low:.3f} to {high:.3f}"
    console.say(f"noise estimated: sigma {of_all} of black to white (--sigma S says otherwise)")
    more, less = sum(sigma > 1.1 * known[1] for sigma in sigmas), sum(sigma < 0.9 * known[0] for sigma in sigmas)
    for n, than in ((more, "more"), (less, "less")):
        if n:
            console.say(
                f"{counted(n, 'image')} with {than} noise, by the estimate, than {opened.folder} was trained on: {span}"
            )
    least = min(CLEAN, 0.9 * known[0] or CLEAN)  # what the model was trained on is noise, however little
    if clean := [change for sigma, change in zip(sigmas, changes, strict=True) if sigma < least]:
        most = f", changed by {math.sqrt(max(clean)):.2g} {'at most' * (len(clean) > 1)}".rstrip()
        console.say(f"{counted(len(clean), 'image')} with hardly any noise: sigma is less than {least:.2g}{most}")


def _note_correlation(correlated: list[float | None]) -> None:
    """Say that the noise is correlated between neighbouring pixels, if it is, for the estimate then is too low."""
    from isthmus import console
    from isthmus.data.noise_correlation import in_words

    words, sigma = in_words(correlated)
    if words:
        # Of five of BSD68 with noise of 0.05 that was blurred by a pixel, or saved as JPEG of quality 50, the estimate
        # was 0.004 to 0.014, and telling 0.05 gained 0.4 to 2.3, and 1.9 to 4.0 dB.
        console.say(
            f"{words}; such noise is estimated too low, and stays: say --sigma {sigma:.2g} or more, or make the "
            "photograph half its size first"
        )


def _searched(opened: Opened) -> Any:
    """The model's decoder as a prior."""
    from sklearn.frozen import FrozenEstimator

    from isthmus.estimators.decoder_prior import DecoderPrior

    autoencoder = opened.autoencoder
    if autoencoder is None:
        raise RequestError(f"--prior searches an autoencoder's decoder, and {opened.folder} has none")
    size = autoencoder.network_.code_size
    n_features = autoencoder.n_features_in_
    if 2 * size > n_features:
        shape = "×".join(map(str, opened.shape or (n_features,)))
        raise RequestError(
            f"--prior needs a code much smaller than the images, or it keeps the noise: {opened.folder} has "
            f"{size:,} numbers for {shape}; fit one with --bottleneck {max(2, round(math.sqrt(n_features)))}"
        )
    return DecoderPrior(FrozenEstimator(autoencoder), clip=True).of(autoencoder)


def _note_its_training(opened: Opened, part: Corruption | None) -> None:
    """Print a note about a model that was trained on other noise, or on none."""
    from isthmus import console

    trained_on = opened.trained_on
    if opened.autoencoder is not None and trained_on is None:
        console.say(f"{opened.folder} was not trained on noise; fit it with --corruption, or try --prior")
    elif part is not None and trained_on is not None and trained_on.label != part.label:
        console.say(f"{opened.folder} was trained on {trained_on.label}")
