"""Every command and snippet in README runs, the `make` ones aside (they run this)."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from isthmus.cli import run_command

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    lines = (line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("make ")]


def photographs():
    """A folder of two small photographs, which README's user has."""
    Path("photographs").mkdir()
    for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        Image.fromarray(pixels[200:256, 300:364]).save(f"photographs/{name}.png")


@pytest.mark.slow
def test_the_commands_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photographs()
    assert len(commands()) >= 16
    for command in commands():
        program, *arguments = shlex.split(command)
        assert program == "isthmus"
        quick = ["--quick"] if arguments[0] == "run" else []
        if "gaussian:0..0.2" in arguments:  # a quarter of an hour as it stands
            quick = ["--epochs", "1", "--training-crop", "16", "--threads", "1"]
        assert run_command([*arguments, *quick]) == 0, (command, capsys.readouterr().err)
    assert Path("runs/digits/report.html").is_file()
    assert Path("elsewhere/digits/report.html").is_file()
    assert {path.name for path in Path("cleaned").glob("*.png")} >= {"china.png", "flower.png"}
    assert Path("unusual/scores.csv").is_file()
    assert len(Path("codes.csv").read_text("utf-8").splitlines()) == 361


def test_the_python_runs_and_learns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    score, shape = capsys.readouterr().out.splitlines()[0].split(" ", 1)
    assert shape.strip() == "(1797, 8)"
    baseline = -names["X"].var(axis=0).mean()  # the mean image's score
    assert baseline / 2 < float(score) < 0
    assert names["deep"].network.bottleneck == 10


def test_the_study_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (study,) = blocks("toml")
    Path("mine.toml").write_text(study, "utf-8")
    assert run_command(["run", "./mine.toml", "--quick"]) == 0, capsys.readouterr().err
    assert "narrow" in capsys.readouterr().out


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_to_files(target):
    assert (Path(__file__).parent.parent / target).is_file()


def test_make_targets_exist():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
