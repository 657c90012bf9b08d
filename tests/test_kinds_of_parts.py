"""Parts and estimators answer for themselves. Where code asks which kind one is, it is counted, and may not grow."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import isthmus.parts
from isthmus import kinds
from isthmus.parts import ROLES
from isthmus.studies.spec.study import ARGUMENTS

PACKAGE = Path(isthmus.__file__).parent
BASES = {"Augmentation", "Corruption", "Levelled", "Loss", "NetworkPart", "Part", "Penalty"}  # any part of a role
KINDS = {
    *(
        name
        for name, one in vars(isthmus.parts).items()
        if isinstance(one, type) and issubclass(one, isthmus.parts.Part)
    ),
    *("Autoencoder", "Composed", "DecoderPrior", "MiniBatchDictionaryLearning", "PCA", "Pipeline"),
    *("ConvNetwork", "DenseNetwork", "DictionaryNetwork"),
} - BASES
# What is left, by module. Fewer is progress; more is a part that does not answer for itself.
LEFT = {
    "estimators/decoder_prior.py": 1,  # what a user gives it to search must be an autoencoder, and is refused otherwise
    "estimators/parameters.py": 1,  # of an estimator that is not composed of parts, scikit-learn knows the parameters
    "studies/spec/figures/graphs.py": 1,  # the theory that a figure can draw is that of Gaussian noise
}


WORDS = {word for role in ROLES for word in kinds.KINDS[role]} | set(ARGUMENTS) | {"autoencoder"}
OF_WORDS = {"class", "estimator", "kind"}  # what is called so holds the word for a kind


def mentioned(node: ast.AST) -> set[str]:
    """The names, attributes and strings in a piece of code."""
    fields = [getattr(one, name, None) for one in ast.walk(node) for name in ("id", "attr", "value")]
    return {field for field in fields if isinstance(field, str)}


def asked(source: str) -> list[str]:
    """The kinds that a module asks for: by isinstance, match, a comparison with a class, or one of the word for it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            # KIND is one, but not a default of one, as in Training().schedule
            called = {id(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)}
            classes = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and id(one) not in called]
            found += sorted(KINDS & set(classes))
            found += sorted(mentioned(node) & WORDS) if mentioned(node) & OF_WORDS else []
        if isinstance(node, ast.Match) and mentioned(node.subject) & OF_WORDS:
            found += [word for case in node.cases for word in sorted(mentioned(case.pattern) & WORDS)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            found += {one.id for one in ast.walk(node.args[1]) if isinstance(one, ast.Name) and one.id in KINDS}
        if isinstance(node, ast.MatchClass) and isinstance(node.cls, ast.Name) and node.cls.id in KINDS:
            found.append(node.cls.id)
    return found


def test_no_more_code_asks_which_kind_a_part_or_an_estimator_is():
    counts = {
        path.relative_to(PACKAGE).as_posix(): len(asked(path.read_text("utf-8"))) for path in PACKAGE.rglob("*.py")
    }
    assert {name: n for name, n in counts.items() if n} == LEFT


def test_what_is_counted():
    assert Counter(asked("isinstance(a, Dense | L1) or isinstance(b, int)")) == {"Dense": 1, "L1": 1}
    assert asked("match c:\n    case PCA():\n        pass") == ["PCA"]
    assert asked("type(a) is L1") == asked("kind in (L1, int)") == asked("a.kind != L1.kind") == ["L1"]
    assert asked('part.kind == "l1"') == asked('table.get("kind") in ("l1", "x")') == ["l1"]
    assert asked('match m.estimator:\n    case "pca" | "identity":\n        pass') == ["identity", "pca"]
    assert asked('a.dtype.kind == "f" or figure.kind == "scatter" or x == Training().schedule or b == "l1"') == []
    assert {"Dense", "GaussianNoise", "KL", "MSE"} <= KINDS
