"""Find the run or the model in a folder, without importing torch: one second, not five."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.data.collections import image_parts
from isthmus.data.photographs.photograph_set import find
from isthmus.data.sources import registry
from isthmus.data.sources.built_in import BUILT_IN
from isthmus.errors import RequestError
from isthmus.studies.results.results_json import RESULTS, Results, read_results

if TYPE_CHECKING:
    from isthmus.data.images import Images

MODEL = "config.json"  # as in `persistence`, which imports torch


@dataclass(frozen=True)
class Run:
    """A run's folder and its results. only: the one model of it that is shown. unseen: None if they are built in, or
    photographs, of which files are those that were held out.
    """

    folder: Path
    results: Results
    unseen: registry.Unseen | None
    only: str | None = None
    files: tuple[Path, ...] = ()

    @property
    def of_photographs(self) -> bool:
        """Whether its models take photographs of any sizes."""
        return "test_images" in self.results.data


@dataclass(frozen=True)
class Gallery:
    """Images to show a model by itself, or None where none are known. files: the pictures that they were cut from.

    photographs: whether they are known not to be drawings.
    """

    images: Images | None = None
    title: str = ""
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    photographs: bool = False


def look(path: Path, data_dir: Path | None = None, *, alone: bool = False) -> Run | Path:
    """The run that `path` is, or is a model of; or the path of a model by itself. alone: a model has images of its own.

    Raises RequestError for a folder that is neither, and what `read_results` and `data.sources.registry.load` raise.
    """
    whole = path.resolve()
    if (path / RESULTS).is_file():
        if alone:
            raise RequestError(f"{path} is a run, which has images of its own; give DATA with one of its models")
        run, only = path, None
    elif not (path / MODEL).is_file():
        reason = "is not a folder" if not path.is_dir() else f"holds neither {RESULTS} nor {MODEL}"
        raise RequestError(f"{path} {reason}; give a run's folder, like runs/digits, or a model's")
    elif not alone and whole.parent.name == "models" and (whole.parent.parent / RESULTS).is_file():
        run, only = whole.parent.parent, whole.name
    else:
        return whole
    results = read_results(run)
    name, names = results.data["name"], results.data.get("test_images")
    if names is not None:
        known = Path(results.data["path"])
        place = find(None, data_dir) if data_dir is not None or not known.is_dir() else known
        return Run(run, results, None, only, tuple(file for name in names if (file := place / name).is_file()))
    if name == image_parts.NAME:
        return Run(run, results, image_parts.load_unseen(results.data["path"], data_dir), only)
    return Run(run, results, None if name in BUILT_IN else registry.load_unseen(name, data_dir), only)
