"""Photographs are held out with noise of their own colours, and the table has a line for each."""

import numpy as np
import pytest

from benchmarks import held_out
from isthmus import Denoiser, GaussianNoise, Residual


def test_six_photographs_and_each_is_held_out_once():
    images = held_out.photographs()
    assert sorted(name for pair in held_out.PAIRS for name in pair) == sorted(images)
    assert {name for name, x in images.items() if len(x) == 1} == {"camera"}
    assert all(x.dtype == np.float32 and 0 <= x.min() < x.max() <= 1 for x in images.values())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_line_has_what_was_measured(channels):
    x = np.tile(np.linspace(0.4, 0.6, 40, dtype=np.float32), (channels, 32, 1))
    model = Denoiser(Residual(4, 4), noise=GaussianNoise((0, 0.2)), crop=16, crops_per_epoch=16, epochs=1).fit(
        np.tile(x[None, :1], (2, 3, 1, 1))
    )
    rows = held_out.measured(model, "ramp", x, [0.05, 0.1], [0.5, 0.9])
    assert [row["noisy"] for row in rows] == pytest.approx([26, 20], abs=0.7)
    head, _, line = held_out.table(rows)
    assert head.endswith("| σ = 0.05 | σ = 0.1 |")
    first = " / ".join(f"{rows[0][key]:.2f}" for key in ("told", "blind", "non-local means"))
    assert line.startswith(f"| ramp | {first} | ")
    assert all(row["at its best"] >= row["non-local means"] for row in rows)
    assert any(row["at its best"] > row["non-local means"] for row in rows)


def test_what_is_behind_is_said():
    row = {"image": "ramp", "sigma": 0.1, "told": 30.0, "blind": 29.0, "non-local means": 28.0, "at its best": 28.5}
    assert "for the four photographs: isthmus is ahead of it everywhere." in held_out.conclusion([row])
    text = held_out.conclusion([row, {**row, "at its best": 29.5}])
    assert text.endswith("the very photograph, isthmus is behind it on ramp at 0.1.")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--held-out tulip", "unknown photograph tulip; known: china, flower, "),
        ("--held-out china,flower,astronaut,chelsea,coffee,camera", "leaves none to train on"),
        ("--held-out flower --readme", "--readme goes without --held-out"),
    ],
)
def test_what_cannot_be_held_out_is_refused_before_a_model_is_trained(words, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["held_out", *words.split()])
    monkeypatch.setattr(held_out, "fitted", None)
    with pytest.raises(SystemExit):
        held_out.main()
    assert message in capsys.readouterr().err


def test_what_was_measured_with_others_held_out_is_not_taken_for_it(tmp_path, monkeypatch, capsys):
    psnrs = iter([20.0, 20.0, 20.0, 30.0, 31.0])  # of four photographs in pairs, and of one alone

    def measured(_model, name, *_):
        psnr = next(psnrs)
        others = {"non-local means": 1.0, "at its best": 1.0}
        return [{"image": name, "sigma": 0.1, "told": psnr, "blind": psnr, **others}]

    monkeypatch.setattr(held_out, "fitted", lambda *_: None)
    monkeypatch.setattr(held_out, "measured", measured)
    monkeypatch.setattr(held_out, "strengths_of", lambda *_: [0.5])
    for words, psnr in (("--pairs 2", 30), ("--held-out flower", 31), ("--held-out flower", 31), ("--pairs 2", 30)):
        monkeypatch.setattr("sys.argv", ["held_out", *words.split(), "--json", str(tmp_path / "rows.json")])
        held_out.main()
        out = capsys.readouterr().out
        assert f"| flower | {psnr}.00 / {psnr}.00 / 1.00 |" in out
        assert ("| chelsea |" in out) is words.startswith("--pairs")
