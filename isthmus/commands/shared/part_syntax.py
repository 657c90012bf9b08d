"""Parts on the command line: `gaussian:0.3`, `kl:0.1:target=0.05`, `--hidden 512,256`.

There is no second schema: kinds are those of `parts.ROLES`, the values after a kind are the fields of its dataclass in
order, or `field=value`, and the options of a network are the fields of the network parts.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from typing import Any

from isthmus.errors import RequestError, unknown
from isthmus.parts import NETWORKS, ROLES, Corruption, Part, Sequence
from isthmus.studies.spec.schema import read_table

_FROM_THE_DATA = "image_shape"  # a field that is known from the images
_UNTOLD = {"conv", "dense", "dictionary"}  # a field that all of these have does not tell which is meant
_OPTION_OF = {"n_atoms": "atoms"}  # where a field's name would be an odd name for an option
PLUS = re.compile(r"\+(?=[a-z])")  # but not the + of 1e+3

# Help for each field of a network.
_NETWORK_HELP = {
    "hidden": "widths of the encoder's hidden layers, like 512,256",
    "bottleneck": "numbers in the code",
    "decoder_hidden": "widths of the decoder's hidden layers (the encoder's, mirrored)",
    "activation": "between layers: relu, leakyrelu, gelu, silu, tanh, sigmoid or linear",
    "code_activation": "of the code: the same choices; relu codes can be exactly zero, linear ones have signs",
    "output": "of the pixels: sigmoid keeps them in 0..1, linear does not",
    "channels": "maps of each convolution, like 8,16; each layer halves the image",
    "kernel": "side of a convolution's kernel, in pixels",
    "padding": "zero padding around a map before each convolution, in pixels",
    "decoder": "deconv, unpool or deconv-unpool; those that unpool see more than the code",
    "n_atoms": "atoms in the dictionary, and numbers in the code",
    "unit_norm": "true keeps every atom at norm 1",
}


def read_words(role: str, text: str, option: str) -> Any:
    """The part of a role other than "network" that a word like `gaussian:0.3` stands for; `+` composes corruptions.

    Raises RequestError that begins with the option and what was given.
    """
    where = f"{option} {text}"
    composed = any(kind.members for kind in ROLES[role].values())
    parts: list[Any] = [_read_one(role, word, where) for word in (PLUS.split(text) if composed else [text])]
    if len(parts) == 1:
        return parts[0]
    try:
        return Sequence(tuple(parts))
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None


def read_as_trained(text: str, trained: Corruption | None, option: str) -> tuple[str, str]:
    """The words of a corruption, completed by what a model was trained on; and, where that changes it, it in words.

    A field that the words leave unsaid is that of the corruption of the same kind in `trained`, or, of several, of the
    one at the same place among them. The note is "" where the words mean the same without a model.
    """
    part = read_words("corruption", text, option)
    known: dict[str, list[Part]] = {}
    for trained_step in () if trained is None else trained.steps:
        known.setdefault(trained_step.kind, []).append(trained_step)
    words = []
    for word in PLUS.split(text):
        cls, table = _table_of("corruption", word, option)
        of_kind = known.get(cls.kind, [])
        step = of_kind.pop(0) if len(of_kind) > 1 else of_kind[0] if of_kind else None
        unsaid = [name for name in fields_of(cls) if name not in table and step is not None]
        words.append(":".join([word, *(f"{name}={_word(getattr(step, name))}" for name in unsaid)]))
    completed = "+".join(words)
    now = read_words("corruption", completed, option)
    return completed, "" if now == part else words_of(now)


def words_of(corruption: Corruption) -> str:
    """The words that `read_words` reads as this corruption; the images' shape, which they have, is not among them.

    >>> from isthmus.parts import GaussianNoise, Masking
    >>> words_of(GaussianNoise(0.1, clip=True)), words_of(Masking(0.2, value=0.5))
    ('gaussian:0.1', 'masking:0.2:value=0.5')
    """
    words = []
    for part in corruption.steps:
        fields = iter(fields_of(type(part)))
        word = f"{part.kind}:{_word(getattr(part, next(fields)))}"
        for name in fields:  # only what is not taken to be so anyway
            value = getattr(part, name)
            if value != getattr(_read_one("corruption", word, ""), name):
                word += f":{name}={_word(value)}"
        words.append(word)
    return "+".join(words)


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return "..".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def unit_note(part: Any, value_range: tuple[float, float] | None) -> str:
    """The sentence for noise as wide as black to white, which is a number of other units; "" for others."""
    from isthmus.data.formats.page import range_option

    for step in part.steps:
        if step.share is not None and step.share >= 1:
            low, high = value_range or (0, 255)
            units = f"{range_option(value_range)}" if value_range else "0 to 255"
            return (
                f"{step.label}: {step.level} is a share of black to white, so this is {step.share:g} times all of it; "
                f"{step.share:g} of the numbers of {units} is {step.kind}:{step.share / (high - low):.3g}"
            )
    return ""


def _read_one(role: str, word: str, where: str) -> Part:
    cls, table = _table_of(role, word, where)
    return read_table(cls, table, where).as_option(table)


def _table_of(role: str, word: str, where: str) -> tuple[type[Any], dict[str, Any]]:
    """The kind of part that a word names, and the fields that it gives."""
    kind, *values = word.split(":")
    kinds = {name: cls for name, cls in ROLES[role].items() if not cls.members}
    if kind not in kinds:
        raise RequestError(f"{where}: {unknown(role, kind, kinds)}")
    cls = kinds[kind]
    fields = fields_of(cls)
    table: dict[str, Any] = {}
    for place, value in enumerate(values):
        name, separator, text = value.partition("=")
        if not separator:
            if place >= len(fields):
                raise RequestError(f"{where}: {kind} takes at most {kind}:{':'.join(fields)}, got {len(values)} values")
            name, text = list(fields)[place], value
        if name in table:
            raise RequestError(f"{where}: {name} is given twice")
        table[name] = _plain(text)
    if missing := [name for name, field in fields.items() if name not in table and _is_required(field)]:
        raise RequestError(f"{where}: {missing[0]} is missing; write it as {kind}:{missing[0].upper()}")
    return cls, table


def fields_of(cls: type[Part]) -> dict[str, dataclasses.Field[Any]]:
    """A part's fields that a user gives, by name."""
    return {f.name: f for f in dataclasses.fields(cls) if f.name != _FROM_THE_DATA}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


def _plain(text: str) -> Any:
    """A word as the number, the range like 0..0.2, or the truth that it reads as; else as it is."""
    if text in ("true", "false", "none"):
        return None if text == "none" else text == "true"
    low, dots, high = text.partition("..")
    if dots:
        return [_plain(low), _plain(high)]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


# --- the options of a network ---


def option_of(field: str) -> str:
    """The option that sets a field of a network."""
    return "--" + _OPTION_OF.get(field, field).replace("_", "-")


def _networks() -> dict[str, Any]:
    """The kinds that words can say."""
    return {kind: cls for kind, cls in NETWORKS.items() if not cls.by_function}


def _network_fields() -> dict[str, list[str]]:
    """Every field of any network, with the kinds that have it."""
    kinds_of: dict[str, list[str]] = {}
    for kind in _networks():
        for name in fields_of(_networks()[kind]):
            kinds_of.setdefault(name, []).append(kind)
    return kinds_of


def add_network_options(command: argparse.ArgumentParser) -> None:
    """--network, and an option for each field of any network."""
    group = command.add_argument_group("network (chosen from the number and size of the images unless you set it)")
    group.add_argument("--network", metavar="KIND", help=f"{', '.join(sorted(_networks()))}")
    for name, kinds in _network_fields().items():
        of = "" if len(kinds) == len(_networks()) else f" [{', '.join(kinds)}]"
        metavar = "N" if name in ("bottleneck", "kernel", "padding", "n_atoms") else "WORD"
        metavar = "N,N" if name in ("hidden", "decoder_hidden", "channels") else metavar
        words = _NETWORK_HELP.get(name, name.replace("_", " "))
        group.add_argument(option_of(name), dest=f"network_{name}", metavar=metavar, help=words + of)


def network_words(options: argparse.Namespace) -> tuple[str | None, dict[str, Any]]:
    """The kind of network that was asked for, or that alone has the fields that were; and those fields.

    Raises RequestError for an unknown kind, and for a field that the kind does not have.
    """
    kind = options.network
    if kind is not None and kind not in _networks():
        raise RequestError(f"--network {kind}: {unknown('network', kind, _networks())}")
    explicit: dict[str, str] = {}
    for name in _network_fields():
        text = getattr(options, f"network_{name}")
        if text is not None:
            explicit[name] = text
    fitting = [candidate for candidate in _kinds_with(set(explicit)) if kind in (None, candidate)]
    if not fitting:
        strange = next((name for name in explicit if kind and name not in fields_of(_networks()[kind])), None)
        if strange is None:
            together = " and ".join(option_of(name) for name in explicit)
            raise RequestError(f"no network has {together}; say which you want with --network")
        known = ", ".join(option_of(name) for name in fields_of(_networks()[str(kind)]))
        has = " and ".join(_network_fields()[strange])
        raise RequestError(f"{option_of(strange)} belongs to {has}; --network {kind} takes {known}")
    chosen = kind or (None if set(fitting) >= _UNTOLD else fitting[0])
    cls = _networks()[fitting[0]]
    return chosen, {name: _field_value(cls, name, text) for name, text in explicit.items()}


def _kinds_with(names: set[str]) -> list[str]:
    fields = _network_fields()
    return [kind for kind in _networks() if all(kind in fields[name] for name in names)]


def _field_value(cls: type[Part], name: str, text: str) -> Any:
    """Checked for its type by the dataclass itself, which every other field lets be what it is by default."""
    several = "tuple" in str(fields_of(cls)[name].type)
    value = [_plain(word) for word in text.split(",") if word] if several else _plain(text)
    part = read_table(cls, {name: value}, f"{option_of(name)} {text}")
    return getattr(part, name)
