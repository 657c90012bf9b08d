"""`isthmus data`: list, fetch and describe data sets."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.commands.shared.options import add_data_dir, add_short, add_sizes, examples_of

_EXAMPLES = """
    isthmus data list
    isthmus data get mnist
    isthmus data info photographs/
"""


def add(commands: Any) -> None:
    """The parsers of `isthmus data list`, `info` and `get`."""
    data = commands.add_parser("data", help="list, fetch and describe data sets", **examples_of(_EXAMPLES))
    data.set_defaults(call=lambda options: data.print_help())
    inner = data.add_subparsers(title="commands", metavar="COMMAND", parser_class=type(data))
    listing = "list the data sets and where each is on this machine"
    add_data_dir(add_short(inner, "list", _list, listing, "isthmus data list"))
    info = add_short(
        inner,
        "info",
        _info,
        "describe any images: count, sizes, values, labels, checksums, and what a fit would refuse",
        "isthmus data info photographs/\nisthmus data info photographs/ --patches 16x16",
    )
    info.add_argument("data", metavar="DATA", help="a data set, or a path: a folder, an image, .npy, .npz, IDX")
    add_sizes(info)
    fetching = "fetch and verify a data set, into --data-dir or the user's cache folder"
    get = add_short(inner, "get", _get, fetching, "isthmus data get mnist")
    get.add_argument("name", metavar="NAME", help="a data set")
    get.add_argument(
        "--mirror", action="append", metavar="URL", help="fetch from this address instead; may be given several times"
    )
    add_data_dir(get)


def _list(options: argparse.Namespace) -> None:
    from isthmus.data.sources import registry

    print(f"{'digits':<16}Digits: 1,797 handwritten digits, 8×8\n{'':<16}built in")
    for name, source in registry.SOURCES.items():
        location = registry.find(name, options.data_dir)
        sample = None if location else registry.find_sample(source, options.data_dir)
        where = str(location[0]) if location else f"not on this machine; `isthmus data get {name}` fetches it"
        if sample:
            where = f"a sample in {next(iter(sample.values())).parent}; `isthmus data get {name}` fetches all of it"
        print(f"{name:<16}{source.title}\n{'':<16}{where}")


def _get(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    from isthmus.data.sources.download import get

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def on_bytes(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file)
            progress.update(tasks[file], completed=done, total=total or None)

        mirrors = tuple(options.mirror) if options.mirror else None
        folder = get(options.name, options.data_dir, on_bytes=on_bytes, mirrors=mirrors)
    print(folder)


def _info(options: argparse.Namespace) -> None:
    import numpy as np

    from isthmus.commands.images.inputs import existing, framing_of, is_named, with_range
    from isthmus.data.collections.listing import MASKS, is_mvtec
    from isthmus.data.collections.summary import framed_words, summary
    from isthmus.data.sources import registry

    name = options.data
    framing = framing_of(options)
    if not is_named(name):
        path = existing(name)
        layout = is_mvtec(path)  # a fit does not read the whole folder then
        framing = with_range(framing, options, "train" if layout else None)
        for part, readers in (("train", "`fit` reads"), ("test", "the others read")) if layout else (("", ""),):
            if layout:
                print(f"{part}/, which {readers} (the masks in {MASKS}/ are left out):")
            print("\n".join(summary(path / part, framing, skip_bad=options.skip_bad)))
        return
    dataset = registry.load(name, options.data_dir)
    print(dataset.title)
    for part, images in (("train", dataset.train), ("test", dataset.test)):
        c, h, w = images.shape
        print(f"{part:<6}{len(images):>8,} images  {c}×{h}×{w} {images.pixels.dtype}  sha256 {images.fingerprint}")
        if images.labels is not None:
            labels, counts = np.unique(images.labels, return_counts=True)
            names = images.label_names or tuple(map(str, range(labels.max() + 1)))
            print("        " + ", ".join(f"{names[i]}: {n:,}" for i, n in zip(labels, counts, strict=True)))
        for line in framed_words([images.shape] * len(images), framing, name):
            print("        " + line)
    print(f"from  {dataset.train.source}")
    for file, checksum in dataset.files.items():
        print(f"      {file}  sha256 {checksum}")
    for note in dataset.notes:
        print(note)
