"""A program writes its own table into README, and nothing else."""

import argparse
import re
from pathlib import Path

import pytest

from benchmarks import readme
from benchmarks.recipes import NETWORKS

TEXT = readme.README.read_text("utf-8")
PROGRAMS = re.findall(r"^<!-- (benchmarks\S*): begin -->$", TEXT, re.MULTILINE)


def programs_that_write():
    """The names under which programs put their tables there, and the modules in which they do."""
    for path in sorted(Path(readme.__file__).parent.glob("*.py")):
        for name in re.findall(r'readme\.put\("(\S+?)"', path.read_text("utf-8")):
            yield name, path.stem


def test_each_pair_of_markers_stands_there_once_around_a_table():
    assert len(PROGRAMS) >= 4
    markers = re.findall(r"<!-- benchmarks\S*: (?:begin|end) -->", TEXT)
    assert markers == [marker for program in PROGRAMS for marker in readme.markers(program)]
    abouts = {"benchmarks.held_out": "One draw of the noise ", "benchmarks.likelihood": "One training, "}
    for program in PROGRAMS:
        begin, end = readme.markers(program)
        table, _, about = TEXT.partition(begin)[2].partition(end)[0].strip().partition("\n\n")
        assert all(line.startswith("|") and line.endswith("|") for line in table.splitlines())
        assert len({line.count("|") for line in table.splitlines()}) == 1
        assert about.startswith(abouts.get(program, "Medians of "))


def test_each_table_has_its_program_and_each_program_its_table():
    assert sorted(PROGRAMS) == sorted(name for name, _ in programs_that_write())
    for name, module in programs_that_write():
        assert name.removeprefix("benchmarks").removeprefix(".") == module.removeprefix("__main__")


@pytest.mark.parametrize("program", PROGRAMS)
def test_only_what_is_between_the_markers_is_replaced(program, tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    readme.README.write_text(TEXT, "utf-8")
    readme.put(program, ["| new |", "|---|", "", "Medians."])
    begin, end = readme.markers(program)
    before, after = TEXT.partition(begin)[0], TEXT.partition(end)[2]
    written = readme.README.read_text("utf-8")
    assert written == f"{before}{begin}\n| new |\n|---|\n\nMedians.\n{end}{after}"
    readme.put(program, ["| new |", "|---|", "", "Medians."])
    assert readme.README.read_text("utf-8") == written


@pytest.mark.parametrize("order", ["", "b", "e", "eb", "bbe", "bee", "beb", "ebe", "bebe"])
def test_markers_that_are_not_one_pair_are_refused(order):
    begin, end = readme.markers("benchmarks.one")
    other = "\n".join(readme.markers("benchmarks"))
    text = "\n".join([other, *({"b": begin, "e": end}[letter] for letter in order)])
    with pytest.raises(ValueError, match="each once"):
        readme.replaced(text, "benchmarks.one", ["new"])


def chosen(*arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=",".join(NETWORKS))
    parser.add_argument("--readme", action="store_true")
    return readme.chosen(parser, parser.parse_args(arguments), NETWORKS)


def test_readme_gets_all_models(capsys):
    assert chosen("--readme") == list(NETWORKS)
    assert chosen("--models", "deep-30,dense-64") == ["deep-30", "dense-64"]
    for arguments in (["--models", "deep-30", "--readme"], ["--models", "deep-31"]):
        with pytest.raises(SystemExit):
            chosen(*arguments)
        assert arguments[-1] in capsys.readouterr().err


def test_a_spread_is_the_median_and_the_range():
    assert readme.spread([3.0, 1.0, 2.25], 1) == "2.2 (1.0 to 3.0)"


@pytest.mark.parametrize(
    ("threads", "load", "words", "busy"),
    [(1, 1.5, "1 thread, ", False), (2, 2.5, "2 threads, ", False), (2, 9.3, "2 threads, ", True)],
)
def test_conditions_tell_of_threads_and_of_other_programs(threads, load, words, busy, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, load))
    told = readme.conditions("3 rounds", threads)
    assert told.startswith(f"Medians of 3 rounds, {words}")
    assert ("on a busy machine (load 9 of" in told) is busy
