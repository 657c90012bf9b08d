"""How well the error separates a class from the others, and whether it is measured on images that the model knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.errors import RequestError, counted, unknown

if TYPE_CHECKING:
    from isthmus.commands.screening.scores import Scores


@dataclass(frozen=True)
class Areas:
    """AUROC of all images, and of those that the model knows nothing of; None where these cannot be told apart.

    n, n_others: images of the normal class, and others; n_new, n_new_others: those that are new to the model.
    """

    normal: str
    of_all: float
    n: int
    n_others: int
    of_new: float | None
    n_new: int
    n_new_others: int

    @property
    def best_known(self) -> float:
        """Of new images, or of all where these cannot be told apart."""
        return self.of_all if self.of_new is None else self.of_new

    def sentence(self) -> str:
        images = f"{counted(self.n, 'image')} of class {self.normal} against {self.n_others:,} others"
        n_known = self.n + self.n_others - self.n_new - self.n_new_others
        if not n_known:
            return f"AUROC {self.of_all:.4f}: {images}"
        known = f"{n_known:,} of them were trained on or chose the epoch"
        if self.of_new is None:
            return f"AUROC {self.of_all:.4f}: {images}; {known}, so it is not that of new ones: score such"
        new = f"{counted(self.n_new, 'new image')} of class {self.normal} against {self.n_new_others:,} new others"
        return f"AUROC {self.of_new:.4f}: {new}; {self.of_all:.4f} of all {self.n + self.n_others:,}, though {known}"


def areas(scores: Scores, normal: str, kind: str = "mse") -> Areas:
    """Of scores by their labels and their errors of this kind. Raises RequestError for a class that there is not."""
    from isthmus.analysis.screening import auroc

    labels = set(scores.labels)
    if labels == {""}:
        raise RequestError("--normal needs labels; put the images of each class into a sub-folder")
    if normal not in labels:
        raise RequestError(f"--normal {normal}: {unknown('class', normal, labels)}")
    new, are_normal, errors = scores.are_new, scores.are_of(normal), scores.column(kind)
    n, n_new, n_new_normal = (int(which.sum()) for which in (are_normal, new, new & are_normal))
    of_new = auroc(errors[new], ~are_normal[new]) if 0 < n_new_normal < n_new else None
    return Areas(normal, auroc(errors, ~are_normal), n, len(scores) - n, of_new, n_new_normal, n_new - n_new_normal)


def facts_of(area: Areas | None) -> dict[str, float | None]:
    """As JSON has it."""
    if area is None:
        return {"auroc": None, "auroc_new": None}
    return {"auroc": area.of_all, "auroc_new": area.of_new}
