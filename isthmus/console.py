"""Progress on stderr: live bars on a terminal, lines on epochs elsewhere; and the summary of a run."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from isthmus.decimals import error_text, interval_text, level_text
from isthmus.errors import counted
from isthmus.metrics import possible
from isthmus.studies.plan.workload import guessed_seconds

if TYPE_CHECKING:
    from rich.progress import TaskID

    from isthmus.studies.results.results_json import Results
    from isthmus.training.history import Epoch

_SILENCE = 10  # seconds between two lines of progress
_MOST_LINES = 20  # of a training whose epochs are short


def say(line: str) -> None:
    """Print a message on stderr."""
    print(line, file=sys.stderr, flush=True)


def show(results: str | Iterable[str]) -> None:
    """Print results, or pieces of them, on stdout at once, as one line if they have no others.

    Where their reader is gone, as `| head` soon is, the rest is done anyway.
    """
    try:
        for piece in (results,) if isinstance(results, str) else results:
            print(piece, end="")
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(95)
    '1 min 35 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[..., None]]:
    """Yield `on_progress(done, total, words="")`: a bar on a terminal, elsewhere a line every ten seconds.

    words: what follows the numbers.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total, words="": bar.update(
                task, completed=done, total=total, description=f"{title}{words}"
            )
        return
    last_line = time.monotonic()

    def line(done: int, total: int, words: str = "") -> None:
        nonlocal last_line
        if time.monotonic() - last_line > _SILENCE:
            last_line = time.monotonic()
            say(f"{title}: {done:,} of {total:,}{words}")

    yield line


class Lines:
    """Progress for files, pipes and notebooks: a line per epoch, or of many some twenty, and one every ten seconds."""

    def __init__(self) -> None:
        self.shown: dict[str, float] = {}  # when a model was last heard of

    def planned(self, results: Results, finished: set[tuple[str, int]]) -> None:
        todo = results.plan
        open_work = [row for row in todo if (row["model"], row["seed"]) not in finished]
        say(f"{results.title}: {results.data['title']}")
        width = max(len(row["model"]) for row in todo)
        for row in todo:
            work = f"{row['samples']:,} images"
            if row["epochs"]:
                work += f" × {counted(row['epochs'], 'epoch')}, {row['gflop']:,.0f} GFLOP, threads: {row['threads']}"
            say(f"  {row['model']:<{width}}  seed {row['seed']}  {work if row in open_work else 'already finished'}")
        at_once = todo[0]["side_by_side"]
        beside = f", {at_once} at a time" if at_once > 1 else ""
        guess = max(1, guessed_seconds(open_work))
        say(f"{len(open_work)} of {counted(len(todo), 'model')} to train{beside}, about {duration(guess)}")

    def started(self, name: str, epochs: int) -> None:
        pass

    def epoch(self, name: str, row: Epoch, epochs: int) -> None:
        now = time.monotonic()
        is_marked = row.epoch in (1, epochs) or row.epoch % max(1, -(-epochs // _MOST_LINES)) == 0
        if not is_marked and now - self.shown.get(name, now) < _SILENCE:
            return  # hundreds of lines would bury what is said before and after them
        self.shown[name] = now
        validation = "" if row.validation_loss is None else f", validation {error_text(row.validation_loss)}"
        say(f"{name}  epoch {row.epoch}/{epochs}  loss {error_text(row.loss)}{validation}  {row.seconds:.2f} s")

    def finished(self, name: str, sentence: str) -> None:
        say(f"{name}  {sentence}")

    def note(self, sentence: str) -> None:
        say(sentence)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Allow other output inside the block."""
        yield

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Bars(Lines):
    """Progress for a terminal: a live bar for each model in training, a line for each that is finished."""

    def __init__(self) -> None:
        from rich import progress
        from rich.console import Console

        super().__init__()
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[loss]}"),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        self.progress = progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self.tasks: dict[str, TaskID] = {}

    def started(self, name: str, epochs: int) -> None:
        self._clear(name)
        self.tasks[name] = self.progress.add_task(name, total=epochs or None, loss="")

    def epoch(self, name: str, row: Epoch, epochs: int) -> None:
        now = time.monotonic()
        if now - self.shown.get(name, 0.0) > 0.1 or row.epoch == epochs:  # epochs of small models last milliseconds
            self.shown[name] = now
            self.progress.update(self.tasks[name], completed=row.epoch, loss=f"loss {error_text(row.loss)}")

    def finished(self, name: str, sentence: str) -> None:
        self._clear(name)
        self.progress.console.print(f"{name}  {sentence}", highlight=False, markup=False)

    def note(self, sentence: str) -> None:
        self.progress.console.print(sentence, highlight=False, markup=False)

    def _clear(self, name: str) -> None:
        if name in self.tasks:
            self.progress.remove_task(self.tasks.pop(name))

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        self.progress.stop()
        yield
        self.progress.start()

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def training_progress() -> Lines:
    """Bars if stderr is a terminal, else lines."""
    return Bars() if sys.stderr.isatty() else Lines()


def summary(results: Results) -> str:
    """The summary of a run: a table of its models, and which published numbers agree."""
    if results.data["image_shape"][1] is None:
        return "\n".join([*_of_photographs(results), *_verdicts(results)])
    lines = []
    rows = {(r.model, r.metric, r.split, r.corruption): r for r in results.rows if r.seed == results.seed}
    lines.append(f"{'model':<28}{'test MSE':>10}  {'95 % interval':<22}{'PSNR':>7}{'code':>7}{'parameters':>12}")
    for facts in results.models:
        mse = rows.get((facts["name"], "mse", "test", None))
        if mse is None or mse.value is None:
            continue
        psnr, code, count = (rows.get((facts["name"], metric, split, None)) for metric, split in
                             (("psnr", "test"), ("code_size", None), ("n_parameters", None)))  # fmt: skip
        ends = possible(mse.ci95)
        interval = interval_text(ends, mse.value)
        shown = [
            f"{row.value:,.{digits}f}" if row and row.value is not None else "–"
            for row, digits in ((psnr, 2), (code, 0), (count, 0))
        ]
        seen = "  (test images seen)" if mse.seen else "  (selected on test images)" if mse.selected else ""
        seen += "  collapsed" if facts["collapsed"] else ""
        errors = f"{error_text(mse.value):>10}  {interval:<22}"
        lines.append(f"{facts['name']:<28}{errors}{shown[0]:>7}{shown[1]:>7}{shown[2]:>12}{seen}")
    means = (r for r in results.rows if r.seed is None and (r.metric, r.split, r.corruption) == ("mse", "test", None))
    for r in means:
        spread = f"standard deviation {error_text(r.sd, r.value)}"
        lines.append(f"{r.model:<28}{error_text(r.value):>10}  mean of {r.n_seeds} seeds, {spread}")
    return "\n".join([*lines, *_verdicts(results)])


def _of_photographs(results: Results) -> list[str]:
    """PSNR by level."""
    rows = [row for row in results.rows if (row.seed, row.metric) == (results.seed, "psnr") and row.corruption]
    labels = list(dict.fromkeys(row.corruption for row in rows if row.corruption))
    lines = [f"{'PSNR, dB':<28}{''.join(f'{level_text(label):>10}' for label in labels)}{'weights':>12}"]
    for facts in results.models:
        cells = [results.row(facts["name"], "psnr", "test", label) for label in labels]
        weights = results.value(facts["name"], "n_parameters", None)
        if any(cells):
            values = ("–" if row is None or row.value is None else f"{row.value:.2f}" for row in cells)
            lines.append(f"{facts['name']:<28}{''.join(f'{value:>10}' for value in values)}{weights or 0:>12,.0f}")
    return lines


def _verdicts(results: Results) -> list[str]:
    """Which published numbers agree: lists those that differ, and all that are judged over seeds."""
    judged = [reference for reference in results.references if reference["agrees"] is not None]
    if not judged:
        return []
    over_seeds = [reference for reference in judged if "over_seeds" in reference]
    how = "within their tolerance" + (f", or for {len(over_seeds)} as one more seed would" if over_seeds else "")
    lines = [f"{sum(reference['agrees'] for reference in judged)} of {len(judged)} published numbers agree {how}"]
    lines += [
        f"  differs: {reference['id']}"
        for reference in judged
        if not reference["agrees"] and reference not in over_seeds
    ]
    for reference in over_seeds:
        spread, verdict = reference["over_seeds"], "agrees" if reference["agrees"] else "differs"
        low, high = spread["interval"]
        published = f"published {reference['published']:.6g}, seed {reference['seed']} {reference['measured']:.6g}"
        lines.append(
            f"  {verdict}: {reference['id']}, {published}; "
            f"{spread['n']} seeds {spread['low']:.6g} to {spread['high']:.6g}, one more {low:.6g} to {high:.6g} (95 %)"
        )
    return lines
