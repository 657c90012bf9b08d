"""A study run from Python, and what came of it: tables, figures and the report."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from isthmus import console, kinds
from isthmus.decimals import error_text, interval_text
from isthmus.displays.notebook_progress import training_progress
from isthmus.errors import RequestError, one_of, require
from isthmus.machine import cores
from isthmus.metrics import possible
from isthmus.notebook.markup import picture, table
from isthmus.parts import DEVICES
from isthmus.report.figures import arrays_of, drawn
from isthmus.report.html_page import write_report
from isthmus.studies.plan.context import Request
from isthmus.studies.results.results_json import Results, read_results
from isthmus.studies.run import engines
from isthmus.studies.run.scheduler import run_study
from isthmus.studies.spec.parser import load_study

_SHOWN = ("reconstructions", "denoising")  # kinds of figures


class StudyRun:
    """What a study measured, in a folder that `isthmus run` or `run` wrote.

    folder : of results.json, the models, the figures and the report. results : a `Results`, all that is known.
    figures : matplotlib's figures by name, each drawn when it is asked for.

    >>> from isthmus.displays import StudyRun
    >>> StudyRun("runs/nowhere")
    Traceback (most recent call last):
    isthmus.errors.DataError: runs/nowhere holds no results: cannot read results.json: No such file or directory
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.results: Results = read_results(self.folder)
        self.figures: Mapping[str, Figure] = _Figures(self.folder, self.results)

    def __repr__(self) -> str:
        r = self.results
        return f"<StudyRun {r.study}: {len(r.models)} models, {len(r.rows)} numbers, in {self.folder}>"

    def table(self, metric: str | None = None) -> Any:
        """A `pandas.DataFrame` of what was measured, a row for each number; of one metric, if it is named.

        Its columns are those of a row of results.json: model, seed, metric, split, corruption, seen, value, ci95 (an
        interval of 95 %), n and so on. Raises ImportError without pandas, ValueError for a metric that was not
        measured.
        """
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]

        rows = [row for row in self.results.rows if metric in (None, row.metric)]
        if not rows:
            known = ", ".join(dict.fromkeys(row.metric for row in self.results.rows))
            raise RequestError(f'metric "{metric}" was not measured; there are {known}')
        return pd.DataFrame([vars(row) for row in rows])

    @property
    def report(self) -> Path:
        """The path of the report, which is written if it is not there."""
        path = self.folder / "report.html"
        return path if path.exists() else write_report(self.folder)

    def _repr_html_(self) -> str:
        path = html.escape(str(self.report))
        link = f'<p><a href="{path}" target="_blank">{path}</a></p>'
        return f"<b>{html.escape(self.results.title)}</b>{self._models()}{self._picture()}{link}"

    def _models(self) -> str:
        """A table of the models, as the command prints it."""
        r = self.results
        if r.data["image_shape"][1] is None:  # photographs of any sizes have no error that all share
            return f"<pre>{html.escape(console.summary(r))}</pre>"
        rows = []
        for model in r.models:
            mse, name = r.row(model["name"], "mse", "test"), model["name"]
            size, weights = (r.value(name, metric, None) for metric in ("code_size", "n_parameters"))
            psnr = r.value(name, "psnr", "test")
            if mse is not None and mse.value is not None:
                name += "  (collapsed)" if model["collapsed"] else ""
                error, interval = error_text(mse.value), interval_text(possible(mse.ci95), mse.value)
                counts = ("–" if count is None else f"{count:,.0f}" for count in (size, weights))
                rows.append((name, error, interval, "–" if psnr is None else f"{psnr:.2f}", *counts))
        return table(("model", "test MSE", "95 % interval", "PSNR, dB", "code", "weights"), rows)

    def _picture(self) -> str:
        """The first figure that shows what the models make of images."""
        facts = next((facts for facts in self.results.figures if facts["kind"] in _SHOWN), None)
        if facts is None:
            return ""
        buffer = io.BytesIO()
        self.figures[facts["name"]].savefig(buffer, format="png", dpi=80, bbox_inches="tight", facecolor="white")
        return f"<div>{picture(buffer.getvalue(), facts.get('title') or facts['name'])}</div>"


class _Figures(Mapping[str, Figure]):
    """Figures that are drawn when they are asked for."""

    def __init__(self, folder: Path, results: Results) -> None:
        self.folder, self.facts = folder, {facts["name"]: facts for facts in results.figures}

    def __getitem__(self, name: str) -> Figure:
        facts = self.facts[name]
        return drawn(facts, arrays_of(self.folder / "figures" / f"{name}.npz", facts["rows"]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def __repr__(self) -> str:
        return f"<figures {', '.join(self)}>"


def run(
    study: str | Path,
    *,
    out: str | Path = "runs",
    data_dir: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    seeds: int = 1,
    only: str | Sequence[str] = (),
    fresh: bool = False,
    quick: bool = False,
    keep_states: int = 0,
    engine: str = "local",
    address: str = "",
    launch: str = "",
    hosts: str | Sequence[str] = (),
    workers: int = 1,
    imports: str | Sequence[str] = (),
    allow_imports: bool = False,
) -> StudyRun:
    """Train and measure the models of a study and write its report, as `isthmus run` does with the same options.

    study: one that ships with isthmus, or the path of a TOML file. Results go to out/<study>; a run that was stopped
    goes on there, and finished models are not trained again. Progress goes to stderr, in a notebook below the cell.

    Other machines that share a disk train the models, to the same bytes, by engine="slurm" inside an allocation, by
    engine="ray" with the address of a cluster, HOST:PORT, or by a prefix that starts a worker: launch="ssh {host}",
    hosts=["one", "two"], and `workers` on each of them.

    imports: modules to import first, which register networks, figures or an engine of your own. allow_imports: whether
    the functions that the study names to build networks are imported and called: this runs their code.

    Raises ValueError for a study or an option that can't be, a machine that can't be used, or a module that can't be
    imported; RunError for a model that fails.

    >>> import isthmus, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = isthmus.run("digits", out=folder, quick=True, only="pca-8")
    ...     done.table("mse").query("split == 'test' and corruption.isna()")["model"].tolist()
    ['pca-8']
    """
    names = (imports,) if isinstance(imports, str) else tuple(imports)
    with kinds.importing(names, allowed=allow_imports):
        parsed = load_study(str(study))
        globs = (only,) if isinstance(only, str) else tuple(only)
        parsed.only(globs)
        one_of("device", device, DEVICES)
        count = cores() if threads is None else threads
        require(1 <= count <= cores(), "threads", f"between 1 and {cores()}, this machine's cores", count)
        require(seeds >= 1, "seeds", "at least 1", seeds)
        require(keep_states == 0 or keep_states >= 2, "keep_states", "0 or at least 2", keep_states)
        request = Request(
            out=Path(out),
            data_dir=None if data_dir is None else Path(data_dir),
            device=device,
            threads=count,
            seeds=seeds,
            only=globs,
            fresh=fresh,
            quick=quick,
            keep_states=keep_states,
            command=f"isthmus.run({str(study)!r}{'' if str(out) == 'runs' else f', out={str(out)!r}'})",
            engine=engine,
            address=address,
            launch=launch,
            hosts=tuple(map(str.strip, hosts.split(","))) if isinstance(hosts, str) and hosts else tuple(hosts),
            workers=workers,
        )
        runs_on = engines.engine_of(request, "{}".format)
        with training_progress() as progress:
            results = run_study(parsed, request, progress, runs_on)
        write_report(request.out / results.study)
    return StudyRun(request.out / results.study)
