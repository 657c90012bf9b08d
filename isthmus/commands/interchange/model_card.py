"""The card of a model: what it is, what it learned from, its errors beside others', and how to use it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from isthmus import __version__, persistence
from isthmus.commands.shared.tables import error_rows
from isthmus.data.framing import framing_from
from isthmus.decimals import error_text, interval_text
from isthmus.errors import RequestError, counted, one_line
from isthmus.kinds import KINDS
from isthmus.metrics import Estimate, possible
from isthmus.parts import from_table

Rows = dict[str, tuple[Estimate, Estimate]]
_ROLES = ("network", "code", "corruption", "noise", "augmentation", "penalty", "loss")


def card_of(folder: Path, repository: str) -> str:
    """The card, in Markdown, of a model's folder, from what it and its study's results hold.

    repository: USER/NAME, where it will be. Raises DataError for a folder that is no model.
    """
    config = persistence.read_config(folder)
    name = repository.rpartition("/")[2]
    parts = [_header(config), f"# {name}", _summary(config)]
    if (folder / persistence.PREVIEW).is_file():
        parts.append(f"![Images, and what the model makes of them]({persistence.PREVIEW})")
    parts += ["## Errors", _errors(folder, config), "## Training", _training(folder, config)]
    parts += ["## Use", _use(config, repository, name)]
    return "\n\n".join(parts) + "\n"


def _header(config: dict[str, Any]) -> str:
    kind, task = "baseline", "image-feature-extraction"  # words of the hub's
    if _is_denoiser(config):
        kind, task = "denoiser", "image-to-image"
    elif config["class"] == "Autoencoder":
        kind = "autoencoder"
    return f"---\nlibrary_name: isthmus\npipeline_tag: {task}\ntags:\n- isthmus\n- {kind}\n---"


def _is_denoiser(config: dict[str, Any]) -> bool:
    return config["class"] == "Denoiser"


def _extra(config: dict[str, Any]) -> dict[str, Any]:
    extra = config.get("extra")
    return extra if isinstance(extra, dict) else {}


def _summary(config: dict[str, Any]) -> str:
    network, known = config["parameters"].get("network"), config.get("input")
    kind = f"{network['kind']} " if isinstance(network, dict) and "kind" in network else ""
    if _is_denoiser(config):
        return (
            f"A denoiser of images of any size ({kind}network, {counted(config['fitted']['n_channels_'], 'channel')}), "
            f"trained with isthmus {config['versions']['isthmus']}."
        )
    words = {"Autoencoder": f"{kind}autoencoder", "DecoderPrior": "decoder whose codes are searched"}
    of = ""
    if isinstance(known, dict):
        shape = known.get("image_shape")
        size = "×".join(map(str, shape)) if shape else f"{known['n_features']:,} numbers"
        of = f" on {known['n_samples']:,} {'images' if shape else 'samples'} of {size}"
    word = words.get(config["class"], config["class"])
    article = "An" if word[0] in "aeiouAEIOU" else "A"
    return f"{article} {word}, trained{of} with isthmus {config['versions']['isthmus']}."


# --- errors ---


def _errors(folder: Path, config: dict[str, Any]) -> str:
    extra = _extra(config)
    head, rows = error_rows(extra.get("errors"))
    if not rows:
        head, rows = _of_study(folder, extra)
    if not rows:
        return "Its errors on images that it was not trained on were not measured: `isthmus evaluate` does."
    lines = [f"| {_cell(head)} | MSE | 95 % interval | PSNR, dB |", "|---|---|---|---|"]
    for name, (mse, psnr) in rows.items():
        interval = interval_text(possible(mse.ci95), mse.value)
        shown = "–" if psnr.value is None else f"{psnr.value:.2f}"
        lines.append(f"| {_cell(name)} | {error_text(mse.value)} | {interval} | {shown} |")
    if config["class"] == "Autoencoder" and isinstance(noise := config["parameters"].get("corruption"), dict):
        words = _part("corruption", noise, config)
        lines.append(f"\nTrained for images with {words}; the errors are against clean ones.")
    faults = extra.get("faults")
    sentences = [f"Fault: {one_line(fault)}." for fault in faults] if isinstance(faults, list) else []
    return "\n\n".join(["\n".join(lines), *sentences])


def _of_study(folder: Path, extra: dict[str, Any]) -> tuple[str, Rows]:
    """Errors of a study's models on its test images, this one's first; ("", {}) where it is of no study.

    They are of clean images; of a model that was measured on noisy ones alone, of the middle one of its levels.
    """
    timing: Any = extra.get("timing")
    for run in (folder.resolve().parent.parent, folder.resolve().parent.parent.parent):  # of one seed, of several
        try:
            results = json.loads((run / "results.json").read_text("utf-8"))
            model_name, tables = timing["model"], dict[str | None, dict[str, dict[str, Estimate]]]()
            for row in results["rows"]:
                is_held_out = row["split"] == "test" and not row["seen"] and row["seed"] == timing["seed"]
                if row["metric"] in ("mse", "psnr") and is_held_out:
                    ends = None if row["ci95"] is None else (row["ci95"][0], row["ci95"][1])
                    estimates = tables.setdefault(row["corruption"], {}).setdefault(row["model"], {})
                    estimates[row["metric"]] = Estimate(row["value"], ends, row["n"])
            levels = [level for level, known in tables.items() if len(known.get(model_name, {})) == 2]
            if levels:
                level = None if None in levels else levels[len(levels) // 2]
                known = {name: (each["mse"], each["psnr"]) for name, each in tables[level].items() if len(each) == 2}
                count = counted(known[model_name][0].n, "test image")
                head = f'on {count} of the study "{results["title"]}"' + (f", {level}" if level else "")
                return head, {model_name: known[model_name]} | known
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return "", {}


# --- training ---


def _training(folder: Path, config: dict[str, Any]) -> str:
    extra, parameters, known = _extra(config), config["parameters"], config.get("input")
    lines = []
    if isinstance(source := extra.get("images"), str):
        seen, source = extra.get("seen"), Path(source).name if Path(source).is_absolute() else source
        n = seen.get("n_trained_on") if isinstance(seen, dict) else None
        lines.append(f"- images: {_cell(source)}" + (f", {n:,} of them to train on" if isinstance(n, int) else ""))
    if config["fitted"].get("pca_of_all"):
        lines.append("- its weights are PCA's solution of them, which no epoch of the training was better than")
    if isinstance(known, dict):
        lines.append(f"- numbers: from {known['minimum']:g} to {known['maximum']:g}")
    if isinstance(preparation := extra.get("preparation"), dict) and preparation:
        lines.append(f"- prepared: `{framing_from(preparation, str(folder)).words()}`")
    parts = {role: parameters.get(role) for role in _ROLES}
    lines += [f"- {role}: {_part(role, part, config)}" for role, part in parts.items() if isinstance(part, dict)]
    if isinstance(training := config["fitted"].get("training_"), dict):
        shown = ("epochs", "batch_size", "optimizer", "learning_rate", "schedule", "start", "standardize")
        lines.append(f"- training: {_words({name: training[name] for name in shown if name in training})}")
    if config["fitted"].get("seed_") is not None:
        lines.append(f"- seed {config['fitted']['seed_']}, {config['fitted'].get('precision_', 'float32')} products")
    lines.append(f"- versions: {_words(config['versions'])}")
    return "\n".join(lines)


def _part(role: str, table: dict[str, Any], config: dict[str, Any]) -> str:
    """A part as Python has it; of one that is not known here, the words of its table."""
    role = {"noise": "corruption", "network": "image-network" if _is_denoiser(config) else "network"}.get(role, role)
    try:
        return f"`{one_line(repr(from_table(KINDS[role], table))).replace('`', '')}`"
    except (RequestError, TypeError):
        return _words(table)


def _words(table: dict[str, Any]) -> str:
    """A table's values in a line: its kind, then the others that are said."""
    fields = [f"{name} {_value(value)}" for name, value in table.items() if value is not None and name != "kind"]
    return _cell(", ".join([*([str(table["kind"])] if "kind" in table else []), *fields]))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "×".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    """A text of a file's as one line in which nothing is markup."""
    return "".join(f"\\{c}" if c in "\\|`*_<>[]#" else c for c in one_line(text))


# --- use ---


def _use(config: dict[str, Any], repository: str, name: str) -> str:
    network = config["parameters"].get("network")
    by_function = isinstance(network, dict) and "build" in network
    build = ", build=build)  # the function that built the network" if by_function else ")"
    if _is_denoiser(config):
        lines = ['photos = "photographs/"', "denoised = model.denoise(photos)  # or sigma=0.1, of black to white"]
    elif config["class"] == "Autoencoder":
        lines = [_open(config), "code = model.transform(images)", "x_hat = model.reconstruct(images)"]
    else:
        lines = ["code = model.transform(X)  # X: rows of numbers, (n, n_features), as in the training"]
    program = "\n".join(["import isthmus", "", f"model = isthmus.load({json.dumps(name)}{build}", *lines])
    command = f"pip install 'isthmus[hub]'\nisthmus pull {shlex.quote(repository)} -o {shlex.quote(name)}"
    return f"```sh\n{command}\n```\n\n```python\n{program}\n```\n\nWritten by isthmus {__version__}."


def _open(config: dict[str, Any]) -> str:
    known, preparation = config.get("input"), _extra(config).get("preparation")
    if not (isinstance(known, dict) and known.get("image_shape")):
        return "images = ...  # rows of numbers, (n, n_features), as in the training"
    if not isinstance(preparation, dict):
        return "images = ...  # (n, channels, height, width), in the numbers of the training"
    known_options = ("resize", "crop", "patches", "stride", "grey", "range")
    options = {name: preparation[name] for name in known_options if preparation.get(name)}
    given = {"value_range" if each == "range" else each: value for each, value in options.items()}
    words = [f"{each}={tuple(value) if isinstance(value, list) else value!r}" for each, value in given.items()]
    size = "×".join(map(str, known["image_shape"]))
    arguments = ", ".join(['"photographs/"', *words])
    return f"images = isthmus.open_images({arguments})  # of {size}"
