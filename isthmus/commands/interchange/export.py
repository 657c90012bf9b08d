"""`isthmus export`: write a model as an ONNX file, for programs without isthmus."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from isthmus.commands.shared.options import add_allow_imports, add_command
from isthmus.errors import RequestError, require

_TEXT = """
    Writes an autoencoder or a denoiser of photographs as an ONNX file, which onnxruntime and others run without isthmus
    and torch; it needs pip install 'isthmus[onnx]'. An autoencoder's file takes x, any number of images (n, channels,
    height, width) or of rows, in float32, in the numbers that the model was fitted to: of images in [0, 1]. --function
    says what comes out: reconstruct gives x_hat, encode gives the code, decode makes x_hat of a code. A denoiser's file
    takes y, noisy images of any height and width, and level, the standard deviation of their noise, of shape (1, 1, 1,
    1), (n, 1, 1, 1) or (n, 1, height, width). The file's metadata say its shapes, and the range of the training's
    numbers.
"""
_EXAMPLES = """
    isthmus export my-model -o my-model.onnx
    isthmus export my-model -o encoder.onnx --function encode
    isthmus export restorer -o restorer.onnx
"""


def add(commands: Any) -> None:
    """The parser of `isthmus export`."""
    summary = "write a model as an ONNX file, for other programs"
    command = add_command(commands, "export", run, "MODEL -o FILE", summary, _TEXT, _EXAMPLES)
    command.add_argument("model", type=Path, metavar="MODEL", help="a model's folder, written by `isthmus fit`")
    command.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the file, like model.onnx")
    command.add_argument(
        "--function",
        choices=("reconstruct", "encode", "decode"),
        default="reconstruct",
        help="what an autoencoder's file computes (reconstruct)",
    )
    command.add_argument("--force", action="store_true", help="replace an existing file")
    add_allow_imports(command)


def run(options: argparse.Namespace) -> None:
    """Load the model and write the file."""
    require(options.out.suffix.lower() == ".onnx", "-o", "a file that ends in .onnx", str(options.out))
    if options.out.exists() and not options.force:
        raise RequestError(f"{options.out} already exists; choose another -o, or add --force to replace it")

    from isthmus import console, persistence
    from isthmus.data.framing import framing_from
    from isthmus.estimators.adapters import adapter_of
    from isthmus.files import prepare_folder

    model = persistence.load(options.model)
    if not hasattr(model, "to_onnx"):
        kind = adapter_of(model).name
        raise RequestError(f"{options.model} is a {kind}; autoencoders and denoisers of photographs are exported")
    prepare_folder(options.out.resolve().parent, 0, option="-o")
    takes_any_size = adapter_of(model).takes_any_size
    if takes_any_size and options.function != "reconstruct":
        raise RequestError(f"{options.model} is a denoiser, which has no code; leave --function out")
    model.to_onnx(options.out, *([] if takes_any_size else [options.function]))
    print(options.out)
    console.say(f"{options.out.stat().st_size / 1e6:,.1f} MB")
    known = persistence.read_config(options.model).get("extra", {}).get("preparation", {})
    if words := framing_from(known, str(options.model / persistence.CONFIG)).words():
        console.say(f"give it images that are prepared as for the training: {words}")
    if takes_any_size and model.precision_ == "bfloat16":
        console.say("the file computes in float32, and isthmus denoises in bfloat16: they differ by its rounding")
