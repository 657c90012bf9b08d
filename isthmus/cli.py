"""The command line: parse, call, print. Results go to stdout, everything else to stderr; errors are one line.

Nothing slow is imported before it is known that it is needed. The parser is the standard library's: a framework that
takes 0.1 s to import would be a third of the time in which `--help` must answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from isthmus.commands import data_sets, denoise, encode, evaluate, fit, reconstruct, score
from isthmus.commands.options import add_data_dir, add_short, examples_of, threads_of
from isthmus.errors import IsthmusError, RequestError, counted, one_line, one_of, require, unknown

if TYPE_CHECKING:
    from isthmus.explore.folder import Gallery


def main() -> NoReturn:
    """The `isthmus` command."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is for what a script starts with &
        signal.signal(signal.SIGINT, _stop)
    try:
        try:
            code = run_command(sys.argv[1:])
        finally:  # while Python exits there is nobody to catch what a signal raises
            _stop_at_once()
    except (KeyboardInterrupt, _Terminated) as stop:  # the moment between the command's end and here
        code = 143 if isinstance(stop, _Terminated) else 130
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong request, 130 and 143 on signals."""
    repeated = shlex.join(one for one in arguments if one != "--fresh")  # which would train it all again
    options = argparse.Namespace()

    def again() -> str:
        left = getattr(options, "interrupted", "what was finished is kept, and the same command goes on from there")
        left = left(options) if callable(left) else left
        return f"; {left}: isthmus {repeated}" if left else ""

    try:
        options = parser().parse_args(arguments)
        options.command = "isthmus " + shlex.join(arguments)
        options.call(options)
        sys.stdout.flush()
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except IsthmusError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(f"interrupted{again()}", 130)
    except _Terminated:
        return _fail(f"terminated{again()}", 143)
    except BrokenPipeError:  # whoever read our output has left: nobody is there to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RuntimeError as error:  # torch's allocator has no exception of its own on a CPU
        if "memory" not in str(error).lower():
            raise
        return _fail(f"out of memory; choose a smaller network or batch_size{again()}", 1)
    except (OSError, MemoryError) as error:
        return _fail(f"the run failed: {error or 'out of memory'}{again()}", 1)
    return 0


def _fail(message: str, code: int) -> int:
    print("isthmus: " + one_line(message), file=sys.stderr)
    return code


class _Terminated(BaseException):
    """SIGTERM arrived."""


def _stop(number: int, _frame: FrameType | None) -> None:
    """Unwind, so that locks and temporary files are let go; a second signal ends the process where it stands."""
    _stop_at_once()
    raise KeyboardInterrupt if number == signal.SIGINT else _Terminated


def _stop_at_once() -> None:
    """From here on a signal ends the process at once, by the system's own hand."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are isthmus' own: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see `{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse what is not known here, and not in the parser above: then the error names this command's help."""
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return known, rest

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Name the nearest word where a command, or a word of a closed vocabulary, is not known."""
        if action.choices is not None and value not in action.choices:
            what = "command" if action.metavar == "COMMAND" else "/".join(action.option_strings) or str(action.metavar)
            raise RequestError(f"{unknown(what, value, map(str, action.choices))}; see `{self.prog} --help`")


_EXAMPLES = """
    isthmus run digits                         # train one small model of every family, write a report
    isthmus explore runs/digits                # look inside them, in the browser
    isthmus fit photographs/ -o my-model --patches 16x16 --corruption gaussian:0.1
    isthmus denoise my-model noisy/ -o clean/
"""
_RUN_EXAMPLES = """
    isthmus run digits
    isthmus run digits --only 'pca-*' --out elsewhere
    isthmus run ./mine.toml --seeds 3
"""
_EXPLORE_EXAMPLES = """
    isthmus explore runs/digits
    isthmus explore my-model photographs/
    isthmus explore runs/digits --allow-origin https://hub.example/user/me/proxy/8765/
"""
_STUDIES_EXAMPLES = """
    isthmus studies
    isthmus studies show digits > mine.toml
"""


def parser() -> argparse.ArgumentParser:
    """Every command and option."""
    top = _Parser(
        prog="isthmus",
        description="Learned representations of images: train, compare and look at them.",
        **examples_of(_EXAMPLES, "`isthmus COMMAND --help` describes a command; `isthmus` alone prints this page."),
    )
    top.add_argument("--version", action="version", version=f"isthmus {_version()}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    top.set_defaults(call=lambda options: top.print_help())

    run = add_short(commands, "run", _run, "train and measure everything in a study, and write a report", _RUN_EXAMPLES)
    run.add_argument(
        "study", nargs="+", metavar="STUDY", help="a shipped name, or a path: has a slash or ends in .toml"
    )
    add_data_dir(run)
    run.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="results go to DIR/<study>/ (runs)")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (auto)")
    run.add_argument("--threads", type=int, metavar="N", help="CPU threads (the cores)")
    run.add_argument("--seeds", type=int, default=1, metavar="N", help="train with N seeds, the study's own first (1)")
    run.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="only models whose names match, like 'deep-*'"
    )
    run.add_argument("--fresh", action="store_true", help="train finished models again")
    run.add_argument("--quick", action="store_true", help="one epoch on 2,000 images, to see whether it runs")
    run.add_argument("--json", action="store_true", help="print each study's results as one line of JSON")

    report = add_short(
        commands, "report", _report, "write a run's report again, from what it measured", "isthmus report runs/digits"
    )
    report.add_argument("run", type=Path, metavar="RUN", help="a run's folder, like runs/digits")

    explore = add_short(
        commands,
        "explore",
        _explore,
        "open a page in the browser that shows what models do, and why",
        _EXPLORE_EXAMPLES,
    )
    explore.add_argument("path", type=Path, metavar="RUN|MODEL", help="a run's folder, like runs/digits, or a model's")
    explore.add_argument(
        "data", nargs="?", metavar="DATA", help="for a model: its images, where it does not find those it was fitted on"
    )
    explore.add_argument("--port", type=int, default=8765, metavar="N", help="if it is taken, the next free one (8765)")
    explore.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="listen here; other machines need a token (127.0.0.1)"
    )
    explore.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="a proxy's address at which the page is opened too, like https://hub.example/user/me/proxy/8765/; "
        "then it needs a token. May be given several times",
    )
    explore.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    add_data_dir(explore)
    explore.set_defaults(interrupted="")  # it leaves nothing to go on from

    studies = add_short(commands, "studies", _studies, "list the studies that ship with isthmus", _STUDIES_EXAMPLES)
    inner = studies.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    show = add_short(inner, "show", _show, "print a study's TOML, to start your own from", _STUDIES_EXAMPLES)
    show.add_argument("name", metavar="NAME", help="a shipped study")

    for module in (fit, evaluate, reconstruct, denoise, encode, score, data_sets):
        module.add(commands)

    return top


def _version() -> str:
    from isthmus import __version__

    return __version__


# --- commands ---


def _run(options: argparse.Namespace) -> None:
    from isthmus.parts import DEVICES
    from isthmus.studies.spec.parser import load_study

    studies = [load_study(name) for name in options.study]  # a wrong second one is refused before the first is run
    names = [study.name for study in studies]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RequestError(f'two studies are named "{twice}", and each needs a folder of its own; run one at a time')
    for study in studies:
        study.only(options.only)
    one_of("device", options.device, DEVICES)
    threads = threads_of(options)
    require(options.seeds >= 1, "seeds", "at least 1", options.seeds)

    from isthmus import console
    from isthmus.report.html_page import write_report
    from isthmus.studies.run.scheduler import Request, run_studies

    request = Request(
        out=options.out,
        data_dir=options.data_dir,
        device=options.device,
        threads=threads,
        seeds=options.seeds,
        only=tuple(options.only),
        fresh=options.fresh,
        quick=options.quick,
        command=options.command,
    )
    with console.listener() as listener, contextlib.closing(run_studies(studies, request, listener)) as runs:
        for results in runs:  # while a report is written, the next study may be under way
            report = write_report(options.out / results.study)
            table = json.dumps(results.table(), allow_nan=False) if options.json else console.summary(results)
            with listener.aside():
                print(table, flush=True)
                console.say(f"report: {report.resolve()}")


def _report(options: argparse.Namespace) -> None:
    if not (options.run / "results.json").is_file():
        raise RequestError(f"{options.run} holds no results.json; give a run's folder, like runs/digits")
    from isthmus.report.html_page import write_report

    print(write_report(options.run).resolve())


def _explore(options: argparse.Namespace) -> None:
    try:
        from isthmus.explore.serving.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise RequestError(f"isthmus explore needs {error.name}: pip install 'isthmus[explore]'") from None
    from isthmus.commands.inputs import existing, is_named

    if options.data is not None and not is_named(options.data):
        existing(options.data)  # refused before there is a page

    def gallery(model: Path) -> Gallery:
        from isthmus.commands.exploring import gallery_of  # which takes seconds to import

        return gallery_of(model, options.data, options.data_dir)

    wanted = {"host": options.host, "port": options.port, "browser": not options.no_browser}
    shown = {"alone": options.data is not None, "gallery": gallery, "allow_origins": options.allow_origin}
    serve(options.path, data_dir=options.data_dir, **shown, **wanted)


def _studies(_: argparse.Namespace) -> None:
    from isthmus.studies.spec.parser import catalog, load_study

    for name in catalog():
        study = load_study(name)
        print(f"{name:<18}{study.title} ({counted(len(study.models), 'model')}, {study.data.name})")


def _show(options: argparse.Namespace) -> None:
    from isthmus.studies.spec.parser import catalog

    shipped = catalog()
    if options.name not in shipped:
        raise RequestError(unknown("study", options.name, shipped))
    print(shipped[options.name], end="")


if __name__ == "__main__":
    main()
