"""The command line: parse, call, print. Results go to stdout, everything else to stderr; errors are one line.

Nothing slow is imported before it is known that it is needed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from isthmus.errors import IsthmusError, RequestError

app = typer.Typer(
    help="Learned representations of images: train them, compare them, look at them.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help answers in half the time
    pretty_exceptions_enable=False,
)
studies_app = typer.Typer(
    help="The studies that ship with isthmus.", invoke_without_command=True, rich_markup_mode=None
)
data_app = typer.Typer(
    help="Data sets: where they are, fetch them, describe them.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(studies_app, name="studies")
app.add_typer(data_app, name="data")

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Look for data here first.")]


class _Terminated(BaseException):
    """SIGTERM arrived."""


def main() -> NoReturn:
    """The `isthmus` command."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong request, 130 and 143 on signals."""
    signal.signal(signal.SIGTERM, _terminate)
    repeat = "isthmus " + " ".join(arguments)
    try:
        code = app(arguments, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except IsthmusError as error:
        return _fail(str(error), error.exit_code)
    except TyperException as error:
        message = getattr(error, "format_message", lambda: "")()
        return _fail(f"{message} (see `isthmus --help`)" if message else "", 2)
    except KeyboardInterrupt:
        return _fail(f"interrupted; what was finished is kept, and the same command goes on from there: {repeat}", 130)
    except _Terminated:
        return _fail(f"terminated; what was finished is kept, and the same command goes on from there: {repeat}", 143)
    except BrokenPipeError:  # the reader of our output left: nobody is there to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        return _fail(f"the run failed: {error or 'out of memory'}", 1)


def _fail(message: str, code: int) -> int:
    if message:
        print("isthmus: " + " ".join(message.split()), file=sys.stderr)
    return code


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _print_version(wanted: bool) -> None:
    if wanted:
        from isthmus import __version__

        print(f"isthmus {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    study: Annotated[
        list[str], typer.Argument(help="A shipped study's name, or a path: has a slash or ends in .toml.")
    ],
    data_dir: DataDir = None,
    out: Annotated[Path, typer.Option(help="Results go to OUT/<study>/.")] = Path("runs"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: the cores.")] = None,
    seeds: Annotated[int, typer.Option(help="Train with this many seeds: the study's, +1, ...")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Only models whose name matches, like 'deep-*'.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train finished models again.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One epoch on 2,000 images, to see whether it runs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each study's results as one line of JSON.")] = False,
) -> None:
    """Train and measure everything in a study, and write a report."""
    from isthmus.parts import DEVICES
    from isthmus.studies.study import load_study

    asked = [load_study(name) for name in study]  # a wrong second study is refused before the first is run
    if device not in DEVICES:
        from isthmus.errors import unknown

        raise RequestError(unknown("device", device, DEVICES))
    cores = _cores()
    if not 1 <= (threads or 1) <= cores:
        raise RequestError(f"threads must be between 1 and {cores}, the cores of this machine, got {threads}")
    if seeds < 1:
        raise RequestError(f"seeds must be at least 1, got {seeds}")
    for one in asked:
        one.only(only or ())
    names = [one.name for one in asked]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RequestError(f'two studies are named "{twice}"; each needs a folder of its own')

    from isthmus import console
    from isthmus.report.page import write_report
    from isthmus.studies.run import Request, run_study

    request = Request(
        out=out,
        data_dir=data_dir,
        device=device,
        threads=threads or cores,
        seeds=seeds,
        only=tuple(only or ()),
        fresh=fresh,
        quick=quick,
        command=("isthmus", *sys.argv[1:]),
    )
    for one in asked:
        with console.listener() as listener:
            results = run_study(one, request, listener)
        report = write_report(out / one.name)
        print(json.dumps(results.table(), allow_nan=False) if as_json else console.summary(results))
        console.say(f"report: {report.resolve()}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, like runs/digits.")],
) -> None:
    """Write a run's report and pictures again, from what it measured."""
    if not (run_folder / "results.json").is_file():
        raise RequestError(f"{run_folder} holds no results.json; give a run's folder, like runs/digits")
    from isthmus.report.page import write_report

    print(write_report(run_folder).resolve())


@studies_app.callback()
def _studies(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from isthmus.studies.study import catalog, load_study

        for name in catalog():
            study = load_study(name)
            print(f"{name:<18}{study.title} ({len(study.models)} models, {study.data.name})")


@studies_app.command()
def show(name: Annotated[str, typer.Argument(help="A shipped study.")]) -> None:
    """Print a study's TOML, to start one's own from."""
    from isthmus.errors import unknown
    from isthmus.studies.study import catalog

    shipped = catalog()
    if name not in shipped:
        raise RequestError(unknown("study", name, shipped))
    print(shipped[name], end="")


@data_app.command("list")
def data_list(data_dir: DataDir = None) -> None:
    """Say which data sets there are, and where each is on this machine."""
    from isthmus.data import sources

    print(f"{'digits':<16}built in        1,797 handwritten digits, 8×8")
    for name, source in sources.SOURCES.items():
        found = sources.find(name, data_dir)
        sample = None if found else sources.find_sample(source, data_dir)
        where = str(found[0]) if found else "not here"
        if sample:
            where = f"a sample in {next(iter(sample.values())).parent}"
        print(f"{name:<16}{where:<14}  {source.title}")


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A data set.")],
    data_dir: DataDir = None,
    mirror: Annotated[list[str] | None, typer.Option(help="Fetch from this address instead.")] = None,
) -> None:
    """Fetch a data set, with checksums, into DATA_DIR or the user's cache folder."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from isthmus.data.download import get

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {}

        def on_bytes(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file)
            progress.update(tasks[file], completed=done, total=total or None)

        folder = get(name, data_dir, on_bytes=on_bytes, mirrors=tuple(mirror) if mirror else None)
    print(folder)


@data_app.command("info")
def data_info(name: Annotated[str, typer.Argument(help="A data set.")], data_dir: DataDir = None) -> None:
    """Describe a data set: sizes, labels, checksums."""
    import numpy as np

    from isthmus.data.sources import load

    dataset = load(name, data_dir)
    print(dataset.title)
    for part, images in (("train", dataset.train), ("test", dataset.test)):
        c, h, w = images.shape
        print(f"{part:<6}{len(images):>8,} images  {c}×{h}×{w} {images.pixels.dtype}  sha256 {images.fingerprint}")
        if images.labels is not None:
            labels, counts = np.unique(images.labels, return_counts=True)
            names = images.label_names or tuple(map(str, labels))
            print("        " + ", ".join(f"{names[i]}: {n:,}" for i, n in zip(labels, counts, strict=True)))
    print(f"from  {dataset.train.source}")
    for file, checksum in dataset.files.items():
        print(f"      {file}  sha256 {checksum}")
    for note in dataset.notes:
        print(note)


if __name__ == "__main__":
    main()
