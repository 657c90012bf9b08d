"""What a study of photographs of any sizes may hold, which other studies may not, and the reverse."""

from __future__ import annotations

from isthmus.errors import RequestError, require
from isthmus.studies.spec.data_table import PHOTOGRAPHS
from isthmus.studies.spec.figures import FIGURES
from isthmus.studies.spec.quantities import TRAINING_METRICS
from isthmus.studies.spec.study import ARGUMENTS, ESTIMATORS, Study

_METRICS = ("mse", "psnr", "ssim")  # what is measured of them


def check_photographs(study: Study, file: str) -> None:
    """Raise RequestError unless all of a study is for photographs, or nothing."""
    for model in study.models:
        of_any_size = _takes_any_size(model.estimator)
        if of_any_size != study.data.is_photographs:
            sizes = f'of any sizes, as "{PHOTOGRAPHS}" are' if of_any_size else "of one size, and photographs have many"
            known = ", ".join(word for word in ESTIMATORS if _takes_any_size(word) != of_any_size)
            fault = f"{model.estimator} is for images {sizes}; known for {study.data.name}: {known}"
            raise RequestError(f'{file}, model "{model.name}": {fault}')
    if not study.data.is_photographs:
        return
    words = ", ".join(_METRICS)
    for figure in study.figures:
        known = ", ".join(word for word, kind in FIGURES.items() if kind.any_size)
        require(figure.any_size, f'{file}, figure "{figure.name}": kind', f"one for photographs: {known}", figure.kind)
    for i, measure in enumerate(study.measures, 1):
        fits = {*measure.metrics} <= {*_METRICS}
        require(fits, f"{file}, measure {i}: metrics", f"of photographs: {words}", measure.metrics)
    for reference in study.references:
        fits = reference.metric in (*_METRICS, *TRAINING_METRICS, "n_parameters") and not reference.images
        require(fits, f'{file}, reference "{reference.id}": metric', f"of all photographs: {words}", reference.metric)


def _takes_any_size(word: str) -> bool:
    return word in ARGUMENTS and ARGUMENTS[word].any_size
