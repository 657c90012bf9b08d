"""Names say what they hold: words that say only that something was found, said or kept name no variable here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import isthmus

PACKAGE = Path(isthmus.__file__).parent
CONDEMNED = {
    "asked", "finish", "found", "heard", "kept", "listener", "mine", "one", "own", "said", "serve", "side_by_side",
    "so_far", "take", "tell", "theirs", "them", "told", "took", "under_way", "what", "whoever",
}  # fmt: skip
# Public: fields of files (a trap in a study's TOML, a collapse in results.json), numpy's take, a web server's serve
PUBLIC = {
    ("collapse.py", "what"), ("study.py", "what"), ("server.py", "serve"),
    ("images.py", "take"), ("image_list.py", "take"),
}  # fmt: skip


def condemned(source: str) -> Iterator[str]:
    """The condemned names that a module gives to variables, arguments, attributes and functions, once a scope."""

    def visit(node: ast.AST, scope: str) -> Iterator[tuple[str, str]]:
        names = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names, scope = [node.name], f"{scope}.{node.name}"
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names = [node.id if isinstance(node, ast.Name) else node.attr]
        elif isinstance(node, ast.arg):
            names = [node.arg]
        yield from ((scope, name) for name in names if name.strip("_") in CONDEMNED)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, scope)

    return (name for _, name in sorted(set(visit(ast.parse(source), ""))))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("said = 1", ["said"]),
        ("said = 1\nsaid = 2", ["said"]),
        ("def f(found, *, own): return [one for one in found]", ["found", "one", "own"]),
        ("def tell(): pass\nclass A:\n    def __init__(self): self._kept = {}", ["_kept", "tell"]),
        ("warning = foundation = f(said)", []),
    ],
)
def test_the_rule_sees_what_it_should(source, names):
    assert sorted(condemned(source)) == names


def test_no_variable_is_named_by_a_condemned_word():
    examples = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        names = [name for name in condemned(path.read_text("utf-8")) if (path.name, name) not in PUBLIC]
        if names:
            examples[path.relative_to(PACKAGE).as_posix()] = names
    assert examples == {}
