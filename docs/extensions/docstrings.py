"""Docstrings of isthmus, in which `name: text.` describes an argument, as the sections that numpydoc expects."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

_SECTION = re.compile(r"^-{3,}$")
_ERRORS = re.compile(r"(?:;|,? and) (?=\w*Error\b)")
Entries = list[tuple[str, str]]


def sections(docstring: str, arguments: Iterable[str] = ()) -> str:
    """A docstring with sections Parameters, Raises, Attributes and Examples, each entry with its name on a line.

    arguments: what `name: text.` may describe, at the start of a paragraph or after a sentence of it.

    >>> print(sections("Add.\\n\\nx: a number. y: another. Raises ValueError for text.", ["x", "y"]))
    Add.
    <BLANKLINE>
    Parameters
    ----------
    x
        a number.
    y
        another.
    <BLANKLINE>
    Raises
    ------
    ValueError
        for text.
    """
    prose, found = [], {"Parameters": Entries(), "Raises": Entries(), "Attributes": Entries(), "Examples": Entries()}
    names = [re.escape(name) for name in arguments]
    for block in _blocks(docstring):
        title = block.partition("\n")[0]
        if block.startswith(">>>"):
            found["Examples"].append(("", block))
        elif title in found:
            text = " ".join(block.split("\n", 2)[2].split())
            found[title] += _entries(text, r"[\w.*]+", " : ")[1]
        elif re.match(r"\w+(, \w+)*: .*\n(.*\n)* {4}\S", block) and not _starts(block, names):
            text = " ".join(re.sub(r"^(\w+(?:, \w+)*): ", r"\1 : ", block, flags=re.M).split())
            found["Attributes"] += _entries(text, r"\w+", " : ")[1]
        elif re.search(r"^(- | {4}\S)", block, re.M) and not _starts(block, names):
            prose.append(block)
        else:
            text, raised = _raises(" ".join(block.split()))
            text, described = _entries(text, "|".join(names), ": ") if names else (text, [])
            found["Parameters"] += described
            found["Raises"] += raised
            if text:
                prose.append(escaped(text))
    parts = ["\n\n".join(prose)]
    for title, entries in found.items():
        if entries:
            shown = (text if title == "Examples" else f"{name}\n    {escaped(text)}" for name, text in entries)
            parts.append(f"{title}\n{'-' * len(title)}\n" + ("\n\n" if title == "Examples" else "\n").join(shown))
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """Prose in which no bar, star or trailing underscore means anything, except for what is between backticks."""
    pieces = re.split(r"(`[^`]*`)", text)
    pieces[::2] = [re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", piece) for piece in pieces[::2]]
    return "".join(pieces)


def _blocks(docstring: str) -> list[str]:
    """Paragraphs, and sections and examples whole."""
    blocks: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        underlined = _SECTION.match(f"{block}\n".split("\n")[1])
        if blocks and not underlined and blocks[-1].startswith(">>>") and block.startswith((">>>", "(", "[")):
            blocks[-1] += f"\n\n{block}"
        else:
            blocks.append(block)
    return blocks


def _starts(block: str, names: list[str]) -> bool:
    return bool(names and re.match(rf"(?:{'|'.join(names)})(?:, \w+)*: ", block))


def _entries(text: str, name: str, colon: str) -> tuple[str, Entries]:
    """What is before the first entry, and the entries: names and what is said of them."""
    pieces = re.split(rf"(?:^|(?<=\.\s)|(?<=\.\)\s))((?:{name})(?:, (?:{name}))*){colon}", text)
    described = [(names, rest.strip()) for names, rest in zip(pieces[1::2], pieces[2::2], strict=True)]
    return pieces[0].strip(), described


def _raises(text: str) -> tuple[str, Entries]:
    before, sentence, rest = re.match(r"(.*?)(?:(?:^|(?<=\.\s))Raises (?=\w*Error\b)(.*))?()$", text).groups()
    entries = []
    for piece in _ERRORS.split((sentence or "") + rest):
        error, _, when = piece.strip().partition(" ")
        if piece:
            entries.append((error.rstrip(",;.:"), when))
    return before.strip(), entries


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite the lines of a docstring in place, before numpydoc sees them."""
    if what in ("module", "attribute", "data") or not lines:
        return
    try:
        arguments = [argument for argument in inspect.signature(obj).parameters if argument != "self"]
    except (TypeError, ValueError):
        arguments = []
    lines[:] = sections("\n".join(lines), arguments).split("\n")


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Whether to leave a member out: what scikit-learn defines is described there, and of a part its fields are."""
    home = getattr(obj, "__module__", None) or getattr(getattr(obj, "fget", None), "__module__", None)
    return True if home and (not home.startswith("isthmus") or home.startswith("isthmus.parts")) else None


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", process, priority=100)  # numpydoc's is 500
    return {"parallel_read_safe": True}
