"""The command line: parse, call, print. Results go to stdout, everything else to stderr; errors are one line.

Slow modules are imported when they are needed. The parser is the standard library's: `--help` must answer in 0.3 s, and
a framework takes 0.1 s to import.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

from isthmus.commands import (
    data,
    denoise,
    encode,
    evaluate,
    explore,
    fit,
    plan,
    reconstruct,
    report,
    run,
    score,
    studies,
)
from isthmus.commands.interchange import export, pull, push
from isthmus.commands.shared.options import examples_of, import_modules
from isthmus.errors import DoubtWarning, IsthmusError, RequestError, one_line, unknown
from isthmus.machine import COLLECT_AFTER, launched


def main() -> NoReturn:
    """The `isthmus` command."""
    gc.set_threshold(COLLECT_AFTER)
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as for jobs that a script starts with &
        signal.signal(signal.SIGINT, _stop)
    warnings.formatwarning = _in_a_line
    try:
        try:
            code = run_command(sys.argv[1:])
        finally:  # while Python exits, nothing catches what a signal raises
            _stop_at_once()
            gc.freeze()  # or Python looks through all that was imported once more
    except (KeyboardInterrupt, _Terminated) as stop:  # between the command's end and here
        code = 143 if isinstance(stop, _Terminated) else 130
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong request, 130 and 143 on signals."""
    repeated = shlex.join(argument for argument in arguments if argument != "--fresh")  # it would train all again
    options = argparse.Namespace()

    def again() -> str:
        left = getattr(options, "interrupted", "finished models are kept, and the same command resumes from there")
        left = left(options) if callable(left) else left
        return f"; {left}: isthmus {repeated}" if left else ""

    try:
        options = parser().parse_args(arguments)
        options.command = "isthmus " + shlex.join(arguments)
        _check_launched(options)
        import_modules(options)
        with warnings.catch_warnings(), _silent_unless_first():
            # of images in other numbers the commands speak themselves, in the words of --range
            warnings.filterwarnings("ignore", "the samples' numbers go from", DoubtWarning)
            options.call(options)
        sys.stdout.flush()
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except IsthmusError as error:
        return error.exit_code if error.is_known else _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, _Terminated) as stop:
        word, code = ("terminated", 143) if isinstance(stop, _Terminated) else ("interrupted", 130)
        return _fail(f"{word}{again()}", code) if launched()[0] == 0 else code
    except BrokenPipeError:  # the reader of our output is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RuntimeError as error:  # torch's CPU allocator has no exception class of its own
        if "memory" not in str(error).lower():
            raise
        return _fail(f"out of memory; choose a smaller network or batch_size{again()}", 1)
    except (OSError, MemoryError) as error:
        return _fail(f"the run failed: {error or 'out of memory'}{again()}", 1)
    return 0


def _fail(message: str, code: int) -> int:
    rank, _ = launched()
    if rank > 0:
        time.sleep(_HEAD_START)  # what the first process refuses too, it says, and then torchrun ends the others
    print(f"isthmus{f', rank {rank}' if rank > 0 else ''}: {one_line(message)}", file=sys.stderr)
    return code


_HEAD_START = 2.0  # seconds


def _check_launched(options: argparse.Namespace) -> None:
    """Raise RequestError for a command that several processes of torchrun cannot share."""
    n_processes = launched()[1]
    if n_processes > 1 and not hasattr(options, "shards"):
        raise RequestError(
            f"torchrun started {n_processes} processes, and only `isthmus fit ... --shards {n_processes}` is shared by "
            "several; give this command without torchrun"
        )


@contextlib.contextmanager
def _silent_unless_first() -> Iterator[None]:
    """Print nothing where torchrun started this process beside another one that prints the same."""
    if launched()[0] == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _in_a_line(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: Any = None) -> str:
    """What the library doubts, without the line of its own source that says so."""
    return (
        f"{message}\n" if issubclass(category, DoubtWarning) else _WITH_ITS_SOURCE(message, category, filename, lineno)
    )


_WITH_ITS_SOURCE = warnings.formatwarning


class _Terminated(BaseException):
    """SIGTERM arrived."""


def _stop(number: int, _frame: FrameType | None) -> None:
    """Unwind, so that locks and temporary files are released; a second signal ends the process at once."""
    _stop_at_once()
    raise KeyboardInterrupt if number == signal.SIGINT else _Terminated


def _stop_at_once() -> None:
    """Restore the default handlers: the next signal ends the process at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class _Parser(argparse.ArgumentParser):
    """A parser that raises RequestError: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see `{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse unknown arguments here, not in the parent parser, so that the error names this command's help."""
        known, rest = super().parse_known_args(args and _with_ranges_below_zero(args), namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return known, rest

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Suggest the nearest known word for an unknown command or choice."""
        if action.choices is not None and value not in action.choices:
            kind = "command" if action.metavar == "COMMAND" else "/".join(action.option_strings) or str(action.metavar)
            raise RequestError(f"{unknown(kind, value, map(str, action.choices))}; see `{self.prog} --help`")


def _with_ranges_below_zero(arguments: Sequence[str]) -> list[str]:
    """The arguments; a range that begins with a minus, which argparse takes for an option, is joined to --range."""
    joined: list[str] = []
    for argument in arguments:
        if joined[-1:] == ["--range"] and argument[:1] == "-" and ":" in argument:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


_EXAMPLES = """
    isthmus run digits                         # train one small model of every family, write a report
    isthmus explore runs/digits                # look inside them, in the browser
    isthmus fit photographs/ -o my-model --patches 16x16 --corruption gaussian:0.1
    isthmus denoise my-model noisy/ -o clean/
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

    of_models = (fit, evaluate, reconstruct, denoise, encode, score, export, push, pull)
    for module in (run, plan, report, explore, studies, *of_models, data):
        module.add(commands)

    return top


def _version() -> str:
    from isthmus import __version__

    return __version__


if __name__ == "__main__":
    main()
