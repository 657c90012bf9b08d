"""The command line: exit codes, what goes to stdout and what to stderr, errors of one line."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tomllib

import pytest

import isthmus
from isthmus.cli import parser, run_command
from isthmus.studies.spec.parser import catalog, parse_study

TINY = """
title = "tiny"
[data]
name = "digits"
train = 100
[[model]]
name = "pca-2"
estimator = "pca"
n_components = 2
"""


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def test_version(capsys):
    assert run_command(["--version"]) == 0
    assert capsys.readouterr() == (f"isthmus {isthmus.__version__}\n", "")


ON_A_MODEL = ("fit", "evaluate", "reconstruct", "denoise", "encode", "score")
OTHERS = ([], ["run"], ["plan"], ["report"], ["studies"], ["studies", "show"], ["data", "info"])


@pytest.mark.parametrize("command", [*OTHERS, *([name] for name in ON_A_MODEL)])
def test_help(command, capsys):
    assert run_command([*command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: {' '.join(['isthmus', *command])}")
    assert err == ""


def commands_of(tree, words=()):
    """The words of every command, those within others too."""
    for action in tree._actions:
        if action.metavar == "COMMAND":
            for name, inner in action.choices.items():
                yield (*words, name)
                yield from commands_of(inner, (*words, name))


@pytest.mark.parametrize("words", [(), *commands_of(parser())], ids=" ".join)
def test_every_help_page_ends_in_examples_that_are_commands(words, capsys):
    assert run_command([*words, "--help"]) == 0
    page = capsys.readouterr().out
    examples = [line.strip() for line in page.split("examples:\n")[1].split("\n\n")[0].splitlines()]
    assert any(example.startswith(" ".join(["isthmus", *words])) for example in examples)
    for example in examples:
        program, *arguments = shlex.split(example.split(" > ")[0], comments=True)
        assert program == "isthmus"
        assert parser().parse_args(arguments).call  # every option is known, nothing is missing


@pytest.mark.parametrize("words", [[], ["data"]])
def test_a_command_without_its_command_prints_its_help(words, capsys):
    assert run_command(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert run_command([*words, "--help"]) == 0
    assert capsys.readouterr().out == out


USAGE = {
    "unknown command": (["rum"], 'unknown command "rum"'),
    "command cut short": (["denois", "m", "digits"], 'Did you mean "denoise"?'),
    "command of data": (["data", "lst"], 'Did you mean "list"?'),
    "word of an option": (["fit", "digits", "-o", "m", "--recipe", "fst"], 'Did you mean "fast"?'),
    "word of an argument": (["evaluate", "m", "digits", "--split", "tset"], 'Did you mean "test"?'),
    "no study": (["run"], "STUDY"),
    "unknown option": (["run", "digits", "--quik"], "--quik"),
    "unknown study": (["run", "digts"], 'Did you mean "digits"?'),
    "a study like none": (
        ["run", "nope"],
        "known: compress, digits, imaging, lab, letters, photographs, pri",
    ),
    "second study unknown": (["run", "digits", "digts"], '"digts"'),
    "one study twice": (["run", "digits", "digits"], 'two studies are named "digits"'),
    "missing file": (["run", "./none.toml"], "none.toml"),
    "no threads": (["run", "digits", "--threads", "0"], "threads must be between 1 and"),
    "too many threads": (["run", "digits", "--threads", "99999"], "got 99999"),
    "threads as text": (["run", "digits", "--threads", "two"], "'two'"),
    "no seeds": (["run", "digits", "--seeds", "0"], "seeds must be at least 1, got 0"),
    "unknown device": (["run", "digits", "--device", "cdua"], 'Did you mean "cuda"?'),
    "no such model": (["run", "digits", "--only", "dense-9"], 'Did you mean "dense-8"?'),
    "show nothing": (["studies", "show"], "NAME"),
    "show unknown": (["studies", "show", "compres"], 'Did you mean "compress"?'),
    "unknown data": (["data", "info", "mnst"], 'Did you mean "mnist"?'),
    "report of nothing": (["report", "nowhere"], "nowhere holds no results.json"),
}


@pytest.mark.parametrize("what", USAGE)
def test_a_wrong_request_is_one_line_and_exit_code_2(what, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, word = USAGE[what]
    assert run_command(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("isthmus: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert word in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["studies"], ["data", "info", "digits"], ["fit", "digits", "-o", "model"]])
def test_an_unknown_option_points_to_the_help_of_its_command(words, capsys):
    assert run_command([*words, "--skip-it"]) == 2
    command = " ".join(word for word in words[:2] if word in ("studies", "data", "info", "fit"))
    assert f"unrecognized arguments: --skip-it; see `isthmus {command} --help`" in capsys.readouterr().err


def test_a_title_of_many_lines_is_still_one_line_of_error(capsys, tmp_path):
    (tmp_path / "a.toml").write_text(TINY.replace('"pca-2"', '"pca\\n2"'))
    assert run_command(["run", str(tmp_path / "a.toml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_studies_lists_what_ships(capsys):
    assert run_command(["studies"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split()[0] for line in out.splitlines()] == list(catalog())


@pytest.mark.parametrize("name", catalog())
def test_what_is_shown_is_a_study_again(name, capsys):
    assert run_command(["studies", "show", name]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert parse_study(out, name, f"{name}.toml").title == tomllib.loads(out)["title"]


def test_data_list_and_info(capsys, tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "ISTHMUS_DATA"):
        monkeypatch.setenv(name, str(tmp_path))
    assert run_command(["data", "list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    where = dict(zip((line.split()[0] for line in out.splitlines()[::2]), out.splitlines()[1::2], strict=True))
    assert {"digits", "mnist", "fashion-mnist"} <= set(where)
    assert where["digits"].strip() == "built in"
    assert where["mnist"].strip() == "not on this machine; `isthmus data get mnist` fetches it"

    assert run_command(["data", "info", "digits"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "1,437 images" in out
    assert "360 images" in out
    assert out.count("sha256") == 2

    assert run_command(["data", "info", "mnist"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "isthmus data get mnist" in err


def test_results_go_to_stdout_and_messages_to_stderr(tiny, tmp_path, capsys):
    assert run_command(["run", str(tiny), "--out", str(tmp_path / "runs")]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("model")
    assert out.splitlines()[1].startswith("pca-2")
    for word in ("1 of 1 model to train", "fitted in", "report: ", "to look inside: isthmus explore "):
        assert word in err
        assert word not in out
    assert "\r" not in err  # no bar where there is no terminal
    assert "\x1b" not in err


def test_json_is_one_line_for_each_study(tiny, tmp_path, capsys):
    other = tmp_path / "other.toml"
    other.write_text(TINY.replace("tiny", "other"))
    command = ["run", str(tiny), str(other), "--json", "--out", str(tmp_path / "my runs"), "--seeds", "2"]
    assert run_command(command) == 0
    out = capsys.readouterr().out
    tables = [json.loads(line) for line in out.splitlines()]
    assert [table["study"] for table in tables] == ["tiny", "other"]
    for table in tables:
        assert table == json.loads((tmp_path / "my runs" / table["study"] / "results.json").read_text())
        # the command that repeats it, quoted for a shell
        assert table["environment"]["command"].startswith(
            f"isthmus run {tiny} {other} --json --out '{tmp_path}/my runs'"
        )


def test_the_data_folder_is_where_data_is_looked_for(tiny, tmp_path, capsys, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    tiny.write_text(TINY.replace("digits", "mnist"))
    assert run_command(["run", str(tiny), "--data-dir", str(tmp_path / "here"), "--out", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert f"mnist is not on this machine (looked in {tmp_path / 'here'}" in err
    assert not (tmp_path / "runs").exists()


def test_the_command_itself_is_quick_and_quiet():
    program = (
        "import sys, isthmus.cli as c; sys.argv = ['isthmus', *sys.argv[1:]]\n"
        "try: c.main()\n"
        "except SystemExit as stop:\n"
        "    slow = {'torch', 'sklearn', 'matplotlib', 'numpy', 'scipy', 'rich'} & set(sys.modules)\n"
        "    print(stop.code, sorted(slow), file=sys.stderr)\n"
    )
    for arguments, expected in (
        (["--help"], 0),
        (["fit", "--help"], 0),
        (["fit", "digits", "-o", "m", "--loss", "x"], 2),
        (["studies"], 0),
        (["run", "digts"], 2),
        ([], 0),
    ):
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
        assert done.stderr.splitlines()[-1] == f"{expected} []"
        assert "Traceback" not in done.stderr


def test_what_the_library_doubts_is_a_line_of_its_own():
    program = (
        "import warnings, isthmus.cli as c\n"
        "from isthmus.errors import DoubtWarning\n"
        "def doubting(arguments): warnings.warn('it is odd', DoubtWarning); warnings.warn('and old')\n"
        "c.run_command = doubting; c.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    first, second, *_ = done.stderr.splitlines()
    assert first == "it is odd"
    assert second.endswith("UserWarning: and old")


def test_a_reader_that_leaves_is_no_error_with_a_traceback():
    command = f"'{sys.executable}' -m isthmus studies show compress | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("t", "")
