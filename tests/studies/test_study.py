"""Studies as text: what is read of them, and files that are none. Those with one thing wrong: test_wrong_studies."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from isthmus.cli import run_command
from isthmus.errors import RequestError
from isthmus.parts import GaussianNoise, Masking, Occlusion, Poisson, SaltAndPepper, Sequence
from isthmus.studies.spec.figures import DATA
from isthmus.studies.spec.parser import catalog, load_study, parse_study


def assert_one_line(message: str, words: list[str]) -> None:
    assert "\n" not in message
    assert not [word for word in words if word not in message], message


def test_the_good_study_is_good(good):
    study = parse_study(good, "good", "good.toml")
    assert [model.name for model in study.models] == ["a", "p"]
    assert study.model("a").arguments["network"].hidden == (16,)
    assert study.model("p").arguments == {"n_components": 2}


GAUSSIAN, MASKING = '{kind = "gaussian", sigma = 0.3}', '{kind = "masking", fraction = 0.2}'


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ('{kind = "occlusion", size = 3.0, image_shape = [1, 8, 8]}', Occlusion(3, image_shape=(1, 8, 8))),
        ('{kind = "salt-and-pepper", fraction = 1}', SaltAndPepper(1)),
        (f'{{kind = "sequence", parts = [{GAUSSIAN}, {MASKING}]}}', Sequence((GaussianNoise(0.3), Masking(0.2)))),
        (f"[{GAUSSIAN}, {MASKING}]", Sequence((GaussianNoise(0.3), Masking(0.2)))),
        (f"[{MASKING}]", Sequence((Masking(0.2),))),
    ],
)
def test_corruptions_of_models(table, part, good):
    study = parse_study(good.replace('{kind = "gaussian", sigma = 0.1}', table, 1), "mine", "mine.toml")
    assert study.model("a").arguments["corruption"] == part
    json.dumps(study.model("a").arguments["corruption"].table())


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        ('{kind = "gaussian"}\nlevels = [0.1, 1]', ["gaussian(0.1,clip=false)", "gaussian(1,clip=false)"]),
        ('{kind = "gaussian", sigma = 0.2, clip = true}', ["gaussian(0.2)"]),
        ('{kind = "occlusion"}\nlevels = [2, 4.0]', ["occlusion(2)", "occlusion(4)"]),
        ('{kind = "poisson"}\nlevels = [10]', ["poisson(10)"]),
        (f"[{MASKING}]", ["masking(0.2)"]),
        (
            f'[{{kind = "poisson"}}, {MASKING}]\nlevels = [10, 100]',
            ["poisson(10)+masking(0.2)", "poisson(100)+masking(0.2)"],
        ),
        ('["salt-and-pepper"]\nlevels = [0.1]', ["salt-and-pepper(0.1)"]),
        (
            f'{{kind = "sequence", parts = [{MASKING}, {{kind = "gaussian", clip = true}}]}}\nlevels = [0.3]',
            ["masking(0.2)+gaussian(0.3)"],
        ),
    ],
)
def test_corruptions_of_measures(lines, labels, good):
    study = parse_study(good.replace('{kind = "gaussian"}\nlevels = [0.1]', lines, 1), "mine", "mine.toml")
    assert [part.label for part in study.measures[0].corruptions()] == labels


def test_the_levels_go_into_the_part_that_leaves_its_own_out(good):
    text = '[{kind = "masking", fraction = 0.2}, {kind = "poisson"}]\nlevels = [30]'
    study = parse_study(good.replace('{kind = "gaussian"}\nlevels = [0.1]', text, 1), "mine", "mine.toml")
    assert study.measures[0].corruptions() == [Sequence((Masking(0.2), Poisson(30)))]


def test_a_denoising_figure_needs_no_level_if_its_corruption_has_one(good):
    figure = '[[figure]]\nname = "d"\nkind = "denoising"\nmodels = ["a"]\ncorruption = '
    study = parse_study(f"{good}{figure}[{GAUSSIAN}, {MASKING}]", "mine", "mine.toml")
    assert study.figures[-1].corruptions() == [Sequence((GaussianNoise(0.3), Masking(0.2)))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["mine.toml", "[data] is missing"]),
        ('title = "x"\n[data]\nname = "digits"', ["mine.toml", "at least one [[model]]"]),
        ('title = "x"\nmodel = [1]\n[data]\nname = "digits"', ["mine.toml, model 1", "must be a table"]),
        ('title = "x"\nmodel = ["name"]\n[data]\nname = "digits"', ["mine.toml, model 1", "must be a table"]),
        ('title = "x"\nmodel = 3\n[data]\nname = "digits"', ["mine.toml", "[[model]]"]),
        ('title = "x"\ndata = "digits"', ["mine.toml", "must be a table"]),
        ('title = "x"\nfigure = [[1]]\n[data]\nname = "digits"', ["mine.toml, figure 1", "must be a table"]),
    ],
)
def test_a_study_of_another_form_is_refused(text, words):
    with pytest.raises(RequestError) as refused:
        parse_study(text, "mine", "mine.toml")
    assert_one_line(str(refused.value), words)


def test_a_file_that_is_not_a_study_is_refused(tmp_path, capsys):
    (tmp_path / "latin.toml").write_bytes('title = "é"'.encode("latin-1"))
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(bytes(range(128)))
    (tmp_path / "long.toml").write_bytes(b"#" * ((1 << 20) + 1))
    os.mkfifo(tmp_path / "pipe.toml")
    cases = {
        "latin.toml": "UTF-8", "folder.toml": "directory", "missing.toml": "No such file", "binary.toml": "not TOML",
        "": "directory", "long.toml": "at most 1 MiB", "pipe.toml": "a pipe or a device",
    }  # fmt: skip
    for name, word in cases.items():
        assert run_command(["run", f"{tmp_path}/{name}", "--out", str(tmp_path / "out")]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert name in err
        assert word in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["...toml", "....toml"])
def test_a_study_never_lies_outside_its_folder(tmp_path, name, good):
    (tmp_path / name).write_text(good)
    with pytest.raises(RequestError, match="name"):
        load_study(f"{tmp_path}/{name}")


def test_an_unknown_study_suggests_the_nearest():
    with pytest.raises(RequestError) as refused:
        load_study("digts")
    assert_one_line(str(refused.value), ['"digts"', 'Did you mean "digits"?', "./mine.toml"])


@pytest.mark.parametrize("name", catalog())
def test_every_shipped_study_is_whole(name):
    study = load_study(name)
    assert study.name == name
    assert study.title
    assert study.question
    assert study.traps
    assert len({figure.kind for figure in study.figures}) >= (3 if study.data.is_photographs else 4)


def test_the_shipped_studies():
    assert {"compress", "digits"} <= set(catalog())


def test_data_sets_are_those_that_can_be_loaded():
    from isthmus.data.sources.registry import names

    assert sorted(DATA) == sorted(names())


def test_quick_is_one_epoch_on_few_images():
    study = load_study("compress").quick(60_000)
    assert (study.data.train, study.data.test, study.data.validation) == (2000, 500, 0)
    assert {model.training.epochs for model in study.models if model.training} == {1}
    assert study.figures == load_study("compress").figures
    few = load_study("digits").quick(1437)
    assert (few.data.train, few.data.validation) == (1237, 200)
    assert dataclasses.replace(few, data=study.data).title == load_study("digits").title


def test_within_takes_other_images_where_there_are_none(good):
    text = good.replace('models = ["p"]', 'models = ["p"]\nimages = [9, 10, 25]\nsplit = "train"')
    text += '[[figure]]\nname = "g"\nkind = "images"\nsource = "mnist"\nimages = [9705]\n'
    text += '[[measure]]\nmetrics = ["published_sse"]\nimages = [3, 7]\n'
    study = parse_study(text, "mine", "mine.toml").within({"train": 10, "test": 4})
    assert [figure.images for figure in study.figures] == [(9, 0, 5), (9705,)], "another data set is not cut"
    assert study.measures[-1].images == (3, 3)
    assert study.references == parse_study(text, "mine", "mine.toml").references


def test_only_includes_what_a_model_depends_on():
    study = load_study("compress")
    assert [model.name for model in study.only(["pca-32-2"])] == ["pca-32", "pca-32-2"]
    assert [model.name for model in study.only(["*-tanh", "pca-2"])] == ["pca-2", "deep-32-tanh"]
    assert study.only([]) == study.models
    with pytest.raises(RequestError, match='compress: unknown model "dense-33"'):
        study.only(["dense-33"])


def test_a_wrong_study_is_refused_before_anything_slow_is_imported(tmp_path, good):
    (tmp_path / "mine.toml").write_text(good.replace('"relu"', "").replace("hidden =", "hiden ="))
    program = (
        "import sys; from isthmus.cli import run_command; code = run_command(sys.argv[1:]);"
        "slow = {'torch', 'sklearn', 'matplotlib', 'numpy', 'scipy', 'jinja2', 'rich'} & set(sys.modules);"
        "sys.exit(f'imported {slow}' if slow else code)"
    )
    command = [sys.executable, "-c", program, "run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert_one_line(done.stderr.rstrip("\n"), ["isthmus: mine.toml", 'model "a"', '"hiden"', '"hidden"'])
    assert not (tmp_path / "out").exists()


def test_a_models_own_device_is_refused_for_the_run_decides_it():
    text = 'title = "x"\n[data]\nname = "digits"\n[[model]]\nname = "a"\nestimator = "autoencoder"\ndevice = "cuda"\n'
    with pytest.raises(RequestError, match=r'x\.toml, model "a": unknown key "device"'):
        parse_study(text, "x", "x.toml")


def test_a_study_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "marked.toml"
    path.write_text("\ufeff" + catalog()["digits"], "utf-8")
    assert load_study(str(path)).title == load_study("digits").title
