"""Arrays for a figure of a study, which the report plots."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from isthmus.analysis import probe
from isthmus.corruption import noisy_version
from isthmus.data.images import Images
from isthmus.estimators.adapters import adapter_of, chunks
from isthmus.files import atomic_file, remove
from isthmus.metrics import possible
from isthmus.parts import Levelled
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.fitted import available
from isthmus.studies.results.measure import TEST_NOISE_SEED
from isthmus.studies.results.results_json import Results
from isthmus.studies.spec.figure import Figure
from isthmus.studies.spec.levels import members, varied, what_varies

Arrays = dict[str, np.ndarray]
# Arrays that say something of those that are drawn.
_NOT_DRAWN = ("labels", "positions", "usage", "trained", "atoms", "code")


def figure_arrays(figure: Figure, models: dict[str, Any], context: Context, results: Results) -> Arrays:
    """The named arrays of a figure, in the order in which they are drawn.

    models: the fitted ones that it shows, by name. "labels" and "positions" say which images they are.
    """
    return _DRAWN_FROM[figure.kind](figure, models, context, results)


def _images(figure: Figure, context: Context) -> Images:
    """The images that a figure shows: of its split, of another data set, or uniform noise."""
    split = context.splits[figure.split]
    if figure.source == "noise":
        return probe.uniform_noise(len(figure.images), split.shape, TEST_NOISE_SEED)
    return context.others.get(figure.source, split).take(np.array(figure.images))


def _with_labels(rows: Arrays, figure: Figure, images: Images) -> Arrays:
    names = np.array(images.label_names) if images.label_names else None
    labels = images.labels if names is None or images.labels is None else names[images.labels]
    known = {} if labels is None else {"labels": labels}
    return rows | known | {"positions": np.array(figure.images)}


def _reconstructions(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    images = _images(figure, context)
    return _with_labels(probe.reconstructions(models, images), figure, images)


def _denoising(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    """The original, then for each level the noisy images and what each model makes of them."""
    images = _images(figure, context)
    rows: Arrays = {}
    for level, part in zip(figure.levels or (0,), figure.corruptions(), strict=True):
        seen = probe.reconstructions(models, images, noisy_version(images.floats(), part, images.shape))
        rows["original"] = seen.pop("original")
        at = f" at {level:g}" if len(figure.levels) > 1 else ""
        rows |= {f"{part.label if name == 'input' else name + at}": row for name, row in seen.items()}
    return _with_labels(rows, figure, images)


def _scatter(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    (model,) = models.values()
    return probe.code_scatter(model, context.splits[figure.split].take(slice(0, figure.n or 2000)))


def _curves(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    """The loss of each epoch or step; by epochs also the validation loss, where there is one, as "… (validation)"."""
    rows = {}
    for name, model in models.items():
        model = adapter_of(model).last.model
        if not hasattr(model, "history_"):
            continue
        if figure.per == "step":
            rows[name] = np.concatenate([row.step_losses for row in model.history_])
            continue
        rows[name] = model.history_.losses
        if np.isfinite(model.history_.validation_losses).all():
            rows[f"{name} (validation)"] = model.history_.validation_losses
    return rows


def _filters(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    rows = {}
    for name, model in models.items():
        layers = probe.filters(model, context.splits["train"].shape, figure.side, figure.channel)
        for layer, filters in layers.items():
            chosen = filters[list(figure.units)] if figure.units else filters[: figure.n]
            rows[", ".join(word for word in (name, layer) if word)] = chosen
    return rows


def _atoms(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    (model,) = models.values()
    found = probe.atoms_by_usage(model, context.splits[figure.split], figure.n or 64)
    return {next(iter(models)): found["atoms"], "usage": found["usage"], "positions": found["unit"]}


def _usage(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    return {name: probe.usage(model, context.splits[figure.split]) for name, model in models.items()}


def _activations(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    images = _images(figure, context)
    rows = {"original": images.floats().reshape(-1, 1, *images.shape)}
    for name, model in models.items():
        for layer, maps in probe.activation_maps(model, images).items():
            rows[", ".join(word for word in (name, layer) if word)] = maps
    return _with_labels(rows, figure, images)


def _latent_noise(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    (model,) = models.values()
    spread = probe.code_spread(model, context.splits[figure.split]) if figure.relative else None
    images = _images(figure, context)
    rows = probe.latent_noise(model, images, figure.levels, relative_to=spread, seed=TEST_NOISE_SEED)
    return _with_labels(rows, figure, images)


def _interpolation(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    return probe.interpolation(models, _images(figure, context), figure.n or 9)


def _nearest(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    images = _images(figure, context)
    return _with_labels(probe.nearest(models, images, context.splits["train"]), figure, images)


def _levels(figure: Figure, models: dict[str, Any], context: Context, results: Results) -> Arrays:
    """For each model (n_levels, 4): level, value and its interval; "trained" is where it was trained, or NaN."""
    measured = {(row.model, row.corruption): row for row in results.rows
                if (row.seed, row.split, row.metric) == (results.seed, figure.split, figure.metric)}  # fmt: skip
    at: list[tuple[float, Any]] = list(zip(figure.levels, figure.corruptions(), strict=True))
    if getattr(at[0][1], "clean_level", None) == 0:
        at.insert(0, (0.0, None))  # the images as they are
    x_of = _axis(figure, context, measured)
    rows: Arrays = {}
    trained = []
    for name in models:
        lines = []
        for level, part in at:
            row = measured.get((name, part.label if part else None))
            if row is not None and row.value is not None:
                lines.append(
                    (x_of(level, part), row.value, *(possible(row.ci95, row.metric) or (row.value, row.value)))
                )
        rows[name] = np.array(lines, float).reshape(-1, 4)
        own = context.study.model(name).arguments.get("corruption")
        where = _trained_at(own, figure.corruptions())
        trained.append(where if np.isnan(where) else x_of(where, own))
    if figure.theory:
        rows |= _theory(figure, models, context, rows)
        trained += [np.nan] * (len(rows) - len(trained))
    return rows | {"trained": np.array(trained)}


def _axis(
    figure: Figure, context: Context, measured: dict[tuple[str, str | None], Any]
) -> Callable[[float, Any], float]:
    """From a level and its corruption to a place on the axis."""
    if figure.axis == "level":
        return lambda level, _: level
    if figure.axis == "square":
        return lambda level, _: level**2
    identity = next(model.name for model in context.study.models if model.part and not model.part.learns)

    def noise(_: float, part: Any) -> float:
        row = measured.get((identity, part.label if part else None))
        return np.nan if row is None or row.value is None else row.value

    return noise


def _theory(figure: Figure, models: dict[str, Any], context: Context, rows: Arrays) -> Arrays:
    """For each search the lines of Heckel, Huang, Hand, Voroninski: its error at level 0, and k/n of the noise on top.

    The first is the representation error: what k numbers cannot draw at all. Noise that is relative to the image's norm
    has the power σ²‖x‖²/n; what k numbers can draw keeps k/n of it.
    """
    split = context.splits[figure.split]
    lines: Arrays = {}
    for name, model in models.items():
        if not adapter_of(model).searches or not len(rows[name]) or rows[name][0, 0] != 0:
            continue
        power = np.array([0.0, *(_noise_power(split, part) for part in figure.corruptions())])
        share = model.autoencoder_.network_.code_size / split.n_features
        x, left = rows[name][-len(power) :, 0], rows[name][0, 1]
        for line, values in (("representation error", np.full(len(power), left)), ("theory", left + share * power)):
            lines[f"{name}: {line}"] = np.stack([x, values, values, values], axis=1)
    return lines


def _noise_power(images: Images, part: Any) -> float:
    """The mean square of Gaussian noise that is not clipped, by its formula."""
    if not getattr(part, "relative", False):
        return float(part.sigma**2)
    total = sum(float((images.floats(which).astype(np.float64) ** 2).sum()) for which in chunks(len(images)))
    return float(part.sigma**2) * total / len(images) / images.n_features


def _top_atoms(figure: Figure, models: dict[str, Any], context: Context, _: Results) -> Arrays:
    """Of noisy images: the clean one, the noisy one, what the model draws, and the atoms that count most in it."""
    ((name, model),) = models.items()
    (part,) = figure.corruptions()
    images = _images(figure, context)
    x_in = noisy_version(images.floats(), part, images.shape)
    rows = probe.reconstructions({name: model}, images, x_in)
    found = probe.top_atoms(model, x_in, images.shape, figure.n or 5)
    rows = {part.label if key == "input" else key: row for key, row in rows.items()}
    return _with_labels(rows | {"atoms": found["atoms"], "code": found["code"]}, figure, images)


def _trained_at(own: Any, parts: list[Any]) -> float:
    """The level at which a model was trained on this corruption; NaN if it was trained on another, or on none."""
    mine, theirs, i = members(own), members(parts[0]), varied(parts)
    if [type(one) for one in mine] != [type(one) for one in theirs] or not isinstance(theirs[i], Levelled):
        return np.nan
    level = {theirs[i].level: getattr(mine[i], theirs[i].level)}
    same = (*theirs[:i], dataclasses.replace(theirs[i], **level), *theirs[i + 1 :]) == mine
    return float(level[theirs[i].level]) if same else np.nan


_DRAWN_FROM: dict[str, Callable[[Figure, dict[str, Any], Context, Results], Arrays]] = {
    "activations": _activations,
    "atoms": _atoms,
    "curves": _curves,
    "denoising": _denoising,
    "filters": _filters,
    "images": _reconstructions,
    "interpolation": _interpolation,
    "latent-noise": _latent_noise,
    "levels": _levels,
    "nearest": _nearest,
    "reconstructions": _reconstructions,
    "scatter": _scatter,
    "top-atoms": _top_atoms,
    "usage": _usage,
}


def _origin(figure: Figure, context: Context) -> str:
    """Where images that are not the study's come from."""
    return f"The images: {context.others[figure.source].source}" if figure.source in context.others else ""


def write_figures(context: Context, results: Results) -> list[dict[str, Any]]:
    """Write each figure's arrays to figures/<name>.npz, and list what there is to draw."""
    folder = context.folder / "figures"
    folder.mkdir(exist_ok=True)
    listed = []
    for figure in context.study.figures:
        chosen = [name for name in context.study.named(figure.models) if available(context, name)]
        if (figure.models and not chosen) or (figure.source not in ("", "noise", *context.others)):
            continue
        fitted = {name: context.fitted[name, context.study.seed] for name in chosen}
        arrays: dict[str, Any] = dict(figure_arrays(figure, fitted, context, results))
        if not arrays:  # curves, when none of the models so far is one that has them
            continue
        with atomic_file(folder / f"{figure.name}.npz") as file:
            np.savez(file, **arrays)
        corruption = figure.corruptions()[0]
        listed.append(
            {
                "name": figure.name,
                "kind": figure.kind,
                "title": figure.title,
                "note": " ".join(filter(None, (figure.note, _origin(figure, context)))),
                "section": figure.section,
                "models": chosen,
                "split": figure.split,
                "corruption": corruption.label if corruption else None,
                "levels": list(figure.levels),
                "level_of": what_varies(figure.corruptions()) if figure.levels else "",
                "first_epoch": figure.first_epoch,
                "per": figure.per,
                "axis": figure.axis,
                "metric": figure.metric,
                "rows": [name for name in arrays if name not in _NOT_DRAWN or figure.kind == "scatter"],
            }
        )
    names = {facts["name"] for facts in listed}
    for stale in folder.glob("*.npz"):
        if stale.stem not in names:
            remove(stale.with_suffix(".png"))  # drawn from these arrays
            remove(stale)
    return listed
