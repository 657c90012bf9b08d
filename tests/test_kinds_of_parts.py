"""Parts and estimators answer for themselves. Where code asks which kind one is, it is counted, and may not grow."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import isthmus.parts

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
    "studies/spec/figure.py": 1,  # the theory that a figure can draw is that of Gaussian noise
}


def asked(source: str) -> list[str]:
    """The kinds that a module's isinstance and match ask for."""
    found = []
    for node in ast.walk(ast.parse(source)):
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
    assert {"Dense", "GaussianNoise", "KL", "MSE"} <= KINDS
