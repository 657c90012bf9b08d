"""The data flows one way: a module imports only from stages to its left, and from the leaves."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import isthmus

PACKAGE = Path(isthmus.__file__).parent

# DESIGN: "The data flows one way". A stage is a set of names at the top of the package; those of one stage may use each
# other. The two subsets of a stage that stand side by side, as report and console, do so on purpose.
STAGES = (
    {"data"},
    {"augmentation", "corruption"},
    {"networks"},
    {"objective"},
    {"training"},
    {"solvers"},
    {"estimators"},
    {"collapse", "patchwork", "persistence", "probe", "screening"},
    {"studies"},
    {"report", "console", "explore"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
LEAVES = {"errors", "rng", "parts", "files", "fingerprints", "machine", "metrics", "decimals"}
BACK = {("estimators", "persistence")}  # a model can save itself
ROOT = {"__init__"}  # names everything, and imports it when it is used
PLACE = {name: i for i, stage in enumerate(STAGES) for name in stage}


def imported(source: str) -> set[str]:
    """The names at the top of the package that a module imports, wherever in it; "" for the package itself."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "isthmus":
                names = [f"isthmus.{alias.name}" for alias in node.names]
            elif node.module:
                names = [node.module]
        for name in names:
            top, _, rest = name.partition(".")
            if top == "isthmus":
                found.add(rest.split(".")[0])
    return found


def wrong_imports(module: str, source: str) -> set[str]:
    """What a module (its name at the top of the package) imports and should not."""
    names = imported(source) - {"__version__"}
    if module in LEAVES:
        return names - LEAVES
    allowed = LEAVES | {name for name, place in PLACE.items() if place < PLACE[module]} | {module}
    return names - allowed - {to for origin, to in BACK if origin == module}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in ROOT:
            yield parts[0], path


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: str(getattr(value, "name", value)))
def test_a_module_imports_from_its_left_alone(module, path):
    assert module in PLACE or module in LEAVES, f"{module} has no place in DESIGN's order"
    assert not wrong_imports(module, path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("data", "from isthmus.training.loop import train", {"training"}),
        ("data", "import isthmus.training.loop", {"training"}),
        ("data", "from isthmus import training", {"training"}),
        ("data", "def late():\n    from isthmus.estimators.autoencoder import Autoencoder", {"estimators"}),
        ("data", "from isthmus import load", {"load"}),
        ("data", "import isthmus", {""}),
        ("errors", "from isthmus.data.images import Images", {"data"}),
        ("networks", "from isthmus.objective import Objective", {"objective"}),
        ("probe", "from isthmus.persistence import load", {"persistence"}),
        ("report", "import isthmus.cli, isthmus.console", {"cli", "console"}),
        ("training", "from isthmus.data.images import Images\nimport isthmus.errors\nimport torch", set()),
        ("cli", "from isthmus.studies.run.scheduler import run_study\nfrom isthmus import __version__", set()),
        ("data", "from isthmus.data.sources.idx import read_idx", set()),
    ],
)
def test_the_rule_sees_what_it_should(module, source, wrong):
    assert wrong_imports(module, source) == wrong


def test_the_rule_sees_every_stage():
    seen = {module for module, _ in modules()}
    assert {"data", "networks", "training", "estimators", "studies", "report", "cli"} | LEAVES <= seen
    assert "data" in imported((PACKAGE / "training" / "loop.py").read_text())


def test_importing_the_package_imports_nothing_slow():
    program = (
        "import sys; before = set(sys.modules); import isthmus; dir(isthmus)\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))\n"
        "import isthmus.parts, isthmus.errors, isthmus.studies.spec.study, isthmus.cli\n"
        "print(sorted({'torch', 'sklearn', 'numpy', 'scipy', 'matplotlib', 'rich', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["['isthmus']", "[]"]


def test_every_public_name_is_there():
    assert sorted(isthmus.__all__) == sorted(isthmus._HOME)
    for name in isthmus.__all__:
        assert getattr(isthmus, name).__name__ in (name, "load")
    with pytest.raises(AttributeError, match="Autoencodr"):
        isthmus.Autoencodr  # noqa: B018
