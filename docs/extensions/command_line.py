"""A page for each command, written from the parser of the command line."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from isthmus.cli import parser

FOLDER = "commands"


def pages() -> dict[str, str]:
    """The text of each page, in reStructuredText, by the name of its command."""
    return {name: _page(command, f"isthmus {name}", "=") for name, command in _commands(parser()).items()}


def _commands(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    choices = [action.choices for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(choices[0]) if choices else {}


def _page(command: argparse.ArgumentParser, title: str, underline: str) -> str:
    parts = [f"{title}\n{underline * len(title)}", _text(command.description or "")]
    parts.append(_literal(_plain(command.format_usage()).removeprefix("usage: ")))
    for group in command._action_groups:
        actions = [action for action in group._group_actions if not isinstance(action, argparse._SubParsersAction)]
        actions = [action for action in actions if action.help != argparse.SUPPRESS and action.dest != "help"]
        if actions:
            parts.append(f".. rubric:: {(group.title or 'options').capitalize()}")
            parts += [_text(group.description)] if group.description else []
            parts += [_option(command, action) for action in actions]
    if command.epilog:
        parts.append(_epilog(_plain(command.epilog)))
    parts += [_page(each, f"{title} {name}", "-") for name, each in _commands(command).items()]
    return "\n\n".join(parts) + "\n"


def _option(command: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = command._get_formatter()
    words = _plain(formatter._format_action_invocation(action))
    meaning = formatter._expand_help(action) if action.help else ""
    return f"``{words}``\n   {_escaped(' '.join(meaning.split())) or '…'}"


def _epilog(text: str) -> str:
    """Examples as a block of their own, other lines as text."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.split("\n")
        if lines[0].strip() == "examples:":
            parts += [".. rubric:: Examples", _literal("\n".join(line.strip() for line in lines[1:]), "sh")]
        else:
            parts.append(_text(block))
    return "\n\n".join(parts)


def _literal(text: str, language: str = "text") -> str:
    lines = "\n".join(f"   {line}".rstrip() for line in text.strip().split("\n"))
    return f".. code-block:: {language}\n\n{lines}"


def _text(text: str) -> str:
    return _escaped(" ".join(_plain(text).split()))


def _escaped(text: str) -> str:
    pieces = re.split(r"(`[^`]*`)", text)
    pieces[::2] = [re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", piece) for piece in pieces[::2]]
    pieces[1::2] = [f"`{piece}`" for piece in pieces[1::2]]
    return "".join(pieces)


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)  # Python 3.14 colours its help


def write(app: Any) -> None:
    """Write the pages where they are not there, or not the same."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    texts = pages()
    for path in folder.glob("*.rst"):
        if path.stem not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
