"""`isthmus data`: list, fetch and describe data sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from isthmus.commands.shared.options import (
    add_command,
    add_data_dir,
    add_short,
    add_sizes,
    check_target,
    examples_of,
)
from isthmus.errors import RequestError, counted, require

MIB = 1 << 20
_EXAMPLES = """
    isthmus data list
    isthmus data get mnist
    isthmus data info photographs/
    isthmus data convert photographs/ -o shards/ --resize 64x64
"""
_CONVERT = """
    isthmus data convert photographs/ -o shards/ --resize 64x64
    isthmus data convert train.parquet -o shards/
    isthmus fit shards/ -o my-model
"""
_CONVERT_TEXT = """
    Writes all images of SOURCE into shards: arrays in NumPy's format, of one size of image, with an index, labels and
    names. All commands read such a folder in place of images, from the disk as they go, so it may be larger than
    memory. SOURCE is a folder of image files, an array (.npy, .npz, IDX), Parquet files, tar files as of WebDataset, or
    a data set that Hugging Face's `datasets` saved to the disk.

    Each shard is read again and held against what was written. A conversion that was stopped goes on by the same
    command.
"""


def add(commands: Any) -> None:
    """The parsers of `isthmus data list`, `info`, `get` and `convert`."""
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
    convert = add_command(
        inner, "convert", _convert, "SOURCE -o SHARDS", "write images into shards", _CONVERT_TEXT, _CONVERT
    )
    convert.set_defaults(interrupted="whole shards are kept, and the same command goes on after them")
    convert.add_argument(
        "data",
        metavar="SOURCE",
        help="a folder, .npy, .npz, IDX, .parquet, .arrow, .tar, or the training images of a data set",
    )
    convert.add_argument("-o", "--out", type=Path, required=True, metavar="SHARDS", help="the folder of the shards")
    convert.add_argument("--force", action="store_true", help="replace what is there")
    convert.add_argument("--dtype", metavar="TYPE", help="uint8, float16 or float32 (uint8, or float32 of 16 bits)")
    convert.add_argument("--colour", action="store_true", help="make grey images RGB, for grey ones among colour ones")
    convert.add_argument("--shard-size", type=int, default=256, metavar="MIB", help="of pixels in a shard, about (256)")
    convert.add_argument("--image-column", metavar="NAME", help="the column of images, of tables")
    convert.add_argument("--label-column", metavar="NAME", help="the column of labels, of tables")
    add_sizes(convert)


def _list(options: argparse.Namespace) -> None:
    from isthmus.data.sources import registry
    from isthmus.data.sources.built_in import BUILT_IN

    for name, (_, title) in BUILT_IN.items():
        print(f"{name:<16}{title}\n{'':<16}built in")
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


def _convert(options: argparse.Namespace) -> None:
    from isthmus import console
    from isthmus.commands.images.inputs import existing, framing_of, is_named, load_images, part_of, with_range
    from isthmus.data.conversion.conversion import convert
    from isthmus.data.conversion.file_source import ImagesSource
    from isthmus.data.conversion.kinds_of_source import source_of
    from isthmus.data.conversion.source import Source
    from isthmus.data.conversion.table_source import tables_of
    from isthmus.data.conversion.tar_source import tars_of

    require(options.shard_size >= 1, "--shard-size", "at least 1", options.shard_size)
    check_target(options.out, options.data)
    source: Source
    if is_named(options.data):
        framing = with_range(framing_of(options), options, "train")
        source = ImagesSource(load_images(options.data, framing, split="train", data_dir=options.data_dir))
    else:
        path = existing(options.data)
        if options.range == "auto" and path.exists() and (tables_of(path) or tars_of(path)):
            raise RequestError(f"--range auto would read all of {path} twice; say --range LOW:HIGH")
        framing, path = with_range(framing_of(options), options), part_of(options.data, "train")
        columns = {"image": options.image_column, "label": options.label_column}
        source = source_of(path, framing, skip_bad=options.skip_bad, **columns)
    with console.progress("images converted") as on_progress:
        images = convert(
            source,
            options.out,
            dtype=options.dtype,
            colour=options.colour,
            shard_bytes=options.shard_size * MIB,
            force=options.force,
            on_progress=lambda done, total, n: on_progress(done, total or 0, "" if total else f"; {n:,} images"),
        )
    for note in images.notes:
        console.say(note)
    c, h, w = images.shape
    n_shards = counted(len(images.stored.files), "shard") if images.stored else ""
    labels = "" if images.labels is None else f", with {counted(len(set(images.labels.tolist())), 'label')}"
    size = f"{n_bytes / 1e6:,.0f} MB" if (n_bytes := images.pixels.nbytes) >= 1e6 else f"{n_bytes / 1e3:,.0f} kB"
    console.say(f"{counted(len(images), 'image')} of {c}×{h}×{w} {images.pixels.dtype}{labels} in {n_shards}, {size}")
    print(options.out)
