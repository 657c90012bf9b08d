"""The data flows one way: a module imports only from stages to its left, and from the leaves."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import isthmus

PACKAGE = Path(isthmus.__file__).parent

# DESIGN: "The data flows one way". A stage is a set of names at the top of the package, which do not use each other.
STAGES = (
    {"parts"},
    {"data"},
    {"augmentation", "corruption"},
    {"networks"},
    {"codes"},
    {"objective"},
    {"training"},
    {"solvers"},
    {"interchange"},
    {"estimators"},
    {"analysis", "persistence"},
    {"studies"},
    {"report", "console", "explore"},
    {"commands"},
    {"cli"},
    {"__main__"},
    {"callbacks", "collapse", "displays", "probe"},  # public paths, which nothing here uses
)
LEAVES = {"errors", "rng", "files", "fingerprints", "kinds", "machine", "metrics", "decimals", "locks", "notebook"}
ROOT = {"__init__"}  # names everything, and imports it when it is used
# What a folder may import of its own stage, beside itself; a stage whose folder is named imports from them all
WITHIN = {
    "data.formats": set(),
    "data.sources": {"data.images"},
    "data.stored": {"data.images"},
    "data.collections": {
        *("data.formats", "data.sources", "data.stored"),
        *("data.framing", "data.identity", "data.images", "data.sizes", "data.torch_datasets"),
    },
    "data.photographs": {
        *("data.formats", "data.sources", "data.stored", "data.collections"),
        *("data.framing", "data.identity", "data.images", "data.layouts", "data.sizes", "data.torch_datasets"),
    },
    "data.conversion": {
        *("data.formats", "data.sources", "data.stored", "data.collections"),
        *("data.framing", "data.identity", "data.images"),
    },
    "studies.spec": set(),
    "studies.plan": {"studies.spec"},
    "studies.results": {"studies.spec", "studies.plan"},
    "studies.run": {"studies.spec", "studies.plan", "studies.results"},
    "explore.answers": {"explore.shelf"},
    "explore.standalone": {"explore.answers", "explore.shelf"},
    "explore.serving": {"explore.answers", "explore.folder", "explore.shelf", "explore.shelf_loader"},
    "commands.shared": set(),
    "commands.images": {"commands.shared"},
    "commands.screening": {"commands.shared", "commands.images"},
    "commands.fitting": {"commands.shared", "commands.images", "commands.screening"},
    "commands.planning": set(),
    "commands.interchange": {"commands.shared"},
}
MOST_MODULES, MOST_LINES = 12, 300  # without __init__, __main__ and cli
FULLER = {"": 15}
LONGER: dict[str, int] = {}
# Public paths of analysis. An accelerator has the name of the network that it is for
TWICE = {"collapse", "probe"}
PLACE = {name: i for i, stage in enumerate(STAGES) for name in stage}


def imported_modules(source: str) -> set[str]:
    """What of the package a module imports, wherever in it, without "isthmus."; "" for the package itself."""
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
                found.add(rest)
    return found


def imported(source: str) -> set[str]:
    """The names at the top of the package that a module imports, wherever in it; "" for the package itself."""
    return {name.split(".")[0] for name in imported_modules(source)}


def wrong_imports(module: str, source: str) -> set[str]:
    """What a module (its name at the top of the package) imports and should not."""
    names = imported(source) - {"__version__"}
    if module in LEAVES:
        return names - LEAVES
    allowed = LEAVES | {name for name, place in PLACE.items() if place < PLACE[module]} | {module}
    return names - allowed


def every_module():
    return sorted(PACKAGE.rglob("*.py"))


def counted_modules():
    """Without entry points, which say nothing of how full a folder is."""
    return [path for path in every_module() if path.stem not in ("__init__", "__main__", "cli")]


def modules():
    for path in every_module():
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
        ("analysis", "from isthmus.persistence import load", {"persistence"}),
        ("report", "import isthmus.cli, isthmus.console", {"cli", "console"}),
        ("training", "from isthmus.data.images import Images\nimport isthmus.errors\nimport torch", set()),
        ("cli", "from isthmus.studies.run.scheduler import run_study\nfrom isthmus import __version__", set()),
        ("data", "from isthmus.data.sources.idx import read_idx", set()),
    ],
)
def test_the_rule_sees_what_it_should(module, source, wrong):
    assert wrong_imports(module, source) == wrong


def wrong_rooms(folder: str, source: str) -> set[str]:
    """What a module of a folder imports of its own stage and should not."""
    allowed = {folder, *WITHIN[folder]}
    names = {name for name in imported_modules(source) if name.split(".")[0] == folder.split(".")[0]}
    return {name for name in names if not any(f"{name}.".startswith(f"{one}.") for one in allowed)}


@pytest.mark.parametrize("folder", WITHIN)
def test_a_folder_imports_of_its_own_stage_what_it_may(folder):
    files = list((PACKAGE / folder.replace(".", "/")).rglob("*.py"))
    assert len(files) > 2
    assert {path.name: wrong for path in files if (wrong := wrong_rooms(folder, path.read_text("utf-8")))} == {}


def test_folders_of_a_stage_do_not_import_each_other_in_a_circle():
    """Nor does one stand in `WITHIN` that is not there, or a folder of these stages not in it."""
    stages = {folder.split(".")[0] for folder in WITHIN}
    folders = {".".join(path.parent.relative_to(PACKAGE).parts) for path in every_module()}
    inner = {folder for folder in folders if folder.count(".") == 1 and folder.split(".")[0] in stages}
    assert set(WITHIN) == inner
    seen: set[str] = set()
    for folder, allowed in WITHIN.items():  # each only those that stand above it
        assert allowed & inner <= seen
        seen.add(folder)


def test_the_rule_of_a_folder_sees_what_it_should():
    assert wrong_rooms("commands.shared", "from isthmus.commands.images.inputs import x") == {"commands.images.inputs"}
    assert wrong_rooms("commands.shared", "from isthmus.commands import fit") == {"commands"}
    assert not wrong_rooms("commands.images", "from isthmus.commands.shared.tables import x\nimport isthmus.errors")


def test_no_folder_is_too_full():
    counts = Counter(path.parent.relative_to(PACKAGE).as_posix().strip(".") for path in counted_modules())
    assert {folder: n for folder, n in counts.items() if n > FULLER.get(folder, MOST_MODULES)} == {}
    assert all(counts[folder] > MOST_MODULES for folder in FULLER), "no exception is needed any more"


def test_no_module_is_too_long():
    lines = {path.relative_to(PACKAGE).as_posix(): len(path.read_text("utf-8").splitlines()) for path in every_module()}
    assert {name: n for name, n in lines.items() if n > LONGER.get(name, MOST_LINES)} == {}
    assert all(lines[name] > MOST_LINES for name in LONGER), "no exception is needed any more"


def test_no_module_has_the_name_of_another():
    counts = Counter(path.stem for path in counted_modules() if path.parent.name != "accelerators")
    assert {name for name, n in counts.items() if n > 1} == TWICE


@pytest.mark.parametrize("name", ["collapse", "probe"])
def test_a_public_path_leads_to_what_lies_in_analysis(name):
    public, inner = import_module(f"isthmus.{name}"), import_module(f"isthmus.analysis.{name}")
    defined = {key for key, value in vars(inner).items() if getattr(value, "__module__", None) == inner.__name__}
    names = {key for key in defined if not key.startswith("_")}
    assert names
    assert all(getattr(public, key) is getattr(inner, key) for key in names)


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
