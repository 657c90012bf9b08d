"""No room: disks that are full or read-only, memory that runs out, folders with odd names."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import warnings
from contextlib import closing, contextmanager

import numpy as np
import pytest
from PIL import Image

from isthmus import Autoencoder, Dense
from isthmus.cli import run_command
from isthmus.data.conversion.conversion import convert
from isthmus.data.conversion.kinds_of_source import source_of
from isthmus.data.framing import Framing
from isthmus.errors import DoubtWarning, PoorFitWarning, RequestError, RunError
from isthmus.training.checkpoint import Checkpoints

STUDY = """
title = "small"
[data]
name = "digits"
train = 200
test = 60
[[model]]
name = "pca-4"
estimator = "pca"
n_components = 4
[[model]]
name = "wide"
estimator = "autoencoder"
network = {kind = "dense", hidden = [WIDTH], bottleneck = 4, output = "sigmoid"}
epochs = 2
"""


@contextmanager
def mounted(place, *options):
    """A file system at `place`, if this user may mount one."""
    mount = shutil.which("mount")
    done = mount and subprocess.run([mount, *options, place], capture_output=True)
    if not done or done.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield place
    finally:
        subprocess.run([shutil.which("umount"), place], check=True)


@pytest.fixture
def disk(tmp_path):
    """A disk of 1 MB."""
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m", "none") as place:
        yield place


def model(**changes):
    return Autoencoder(**{"network": Dense(bottleneck=3), "epochs": 4, "random_state": 0, **changes})


def weights(fitted):
    return [tensor.numpy().tobytes() for tensor in fitted.network_.state_dict().values()]


def test_a_checkpoint_that_finds_no_room_is_said_and_training_goes_on(crash, same, tmp_path):
    for name in ("free", "full"):
        (tmp_path / name).mkdir()
    assert crash("fit", folder=tmp_path / "free", hidden=128)["status"] == 0
    end = crash(
        "fit", folder=tmp_path / "full", hidden=128, limit=100_000
    )  # the model has 70,000, a checkpoint thrice that
    assert end["status"] == 0, end
    (said,) = [line for line in end["lines"] if "checkpoint" in line]
    assert "no checkpoint could be written to" in said
    assert "File too large" in said
    assert same.model_bytes(tmp_path / "full" / "model") == same.model_bytes(tmp_path / "free" / "model")
    assert same.leftovers(tmp_path) == []


def test_a_disk_that_fills_up_while_training_goes_on(disk, x, tmp_path):
    whole, fitted = model().fit(x), model()
    with closing(fitted.fit_epochs(x, checkpoint=Checkpoints(disk / "c", every=0))) as rows:
        next(rows)
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
        with pytest.warns(DoubtWarning, match="no checkpoint could be written to .*, training goes on: .*[Nn]o space"):
            list(rows)
    assert weights(fitted) == weights(whole)
    with pytest.raises(OSError, match="No space"):
        fitted.save(disk / "model")
    (disk / "filler").unlink()
    assert not [path for path in disk.rglob("*") if path.name.endswith(".tmp")]
    again = model()
    assert len(list(again.fit_epochs(x, checkpoint=disk / "c"))) == 3, "the checkpoint from before is whole"
    assert weights(again) == weights(whole)


def test_too_small_a_disk_is_refused_before_training(disk, x, tmp_path, capsys):
    with pytest.raises(RequestError, match=r"MiB free, .* MiB needed; choose another folder with checkpoint="):
        model(network=Dense(bottleneck=30_000)).fit(x, checkpoint=disk / "c")
    (tmp_path / "small.toml").write_text(STUDY.replace("WIDTH", "8"))
    assert run_command(["run", str(tmp_path / "small.toml"), "--out", str(disk)]) == 2
    assert "MiB free" in capsys.readouterr().err


def test_room_for_the_models_is_asked_for_before_training(tmp_path, capsys):
    free = shutil.disk_usage(tmp_path).free
    (tmp_path / "small.toml").write_text(STUDY.replace("WIDTH", str(free // 200)))  # weights of 2.7 times what is free
    assert run_command(["run", str(tmp_path / "small.toml"), "--out", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "MiB free" in err
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


def test_room_for_states_is_asked_for_before_training(tmp_path, capsys, monkeypatch):
    (tmp_path / "small.toml").write_text(STUDY.replace("WIDTH", "100000"))  # weights of 54 MB, three states of 163
    command = ["run", str(tmp_path / "small.toml"), "--out", str(tmp_path / "runs"), "--keep-states"]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))

    def needed(*words):
        assert run_command([*command[:4], *words]) == 2
        return int(capsys.readouterr().err.split(" MiB needed")[0].rsplit(" ", 1)[-1])

    without, two, three = needed(), needed("--keep-states", "2"), needed("--keep-states")
    n_bytes = 4 * (64 * 100_000 + 100_000 + 100_000 * 4 + 4) * 2  # and the decoder, which is as large
    assert two - without == pytest.approx(2 * n_bytes / 2**20, rel=0.02)
    assert three - without == pytest.approx(3 * n_bytes / 2**20, rel=0.02)
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


def test_a_read_only_disk(tmp_path, x, capsys):
    (tmp_path / "small.toml").write_text(STUDY.replace("WIDTH", "8"))
    fitted = model().fit(x)
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    with mounted(tmp_path / "here", "--bind", str(tmp_path / "there")):
        made = subprocess.run([shutil.which("mount"), "-o", "remount,bind,ro", tmp_path / "here"], capture_output=True)
        if made.returncode:
            pytest.skip("this user may not mount read-only")
        assert run_command(["run", str(tmp_path / "small.toml"), "--out", str(tmp_path / "here")]) == 2
        err = capsys.readouterr().err
        assert f"cannot write to {tmp_path / 'here' / 'small'}: Read-only file system" in err
        assert err.count("\n") == 1
        with pytest.raises(RequestError, match=r"cannot write to .*: Read-only file system"):
            model().fit(x, checkpoint=tmp_path / "here" / "c")
        with pytest.raises(OSError, match="Read-only"):
            fitted.save(tmp_path / "here" / "m")
    assert list((tmp_path / "there").iterdir()) == []


def test_memory_that_runs_out_is_one_line_and_spoils_nothing(crash, tmp_path):
    out = tmp_path / "runs"
    command = ["run", str(tmp_path / "small.toml"), "--out", str(out), "--threads", "1", "--device", "cpu"]
    (tmp_path / "small.toml").write_text(
        STUDY.replace("WIDTH", "1000000")
    )  # 0.5 GB of weights, and as much thrice more
    end = crash("run", command=command, memory=150 << 20)
    assert end["status"] == 1, end
    (line,) = [line for line in end["lines"] if line.startswith("isthmus: ")]
    assert line == "isthmus: wide: out of memory; use a smaller batch_size than 128, such as 32, or a smaller network"
    assert end["lines"][-1] == line
    assert {row["model"] for row in json.loads((out / "small" / "results.json").read_text())["rows"]} == {"pca-4"}
    assert [path.name for path in (out / "small" / "models").iterdir()] == ["pca-4"]
    (tmp_path / "small.toml").write_text(STUDY.replace("WIDTH", "10"))
    assert crash("run", command=command)["status"] == 0


@pytest.mark.parametrize("name", ["with spaces and päth-日本", "x" * 200, "a link"])
def test_folders_of_any_name(name, crash, tmp_path):
    (tmp_path / "small.toml").write_text(STUDY.replace("WIDTH", "10"))
    out = tmp_path / name
    if name == "a link":
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / "elsewhere")
    command = ["run", str(tmp_path / "small.toml"), "--out", str(out), "--threads", "1", "--device", "cpu"]
    assert crash("run", command=command, epoch=1)["status"] == -9
    end = crash("run", command=command)
    assert end["status"] == 0, end
    assert (out / "small" / "report.html").is_file()
    assert not (out / "small" / "checkpoints").exists()


def test_a_killed_run_has_the_states_of_one_that_was_not(crash, same, tmp_path):
    (tmp_path / "small.toml").write_text(STUDY.replace("WIDTH", "10").replace("epochs = 2", "epochs = 5"))

    def states(out):
        return {path.name: path.read_bytes() for path in (out / "small" / "states" / "wide").iterdir()}

    commands = {
        name: [
            *("run", str(tmp_path / "small.toml"), "--out", str(tmp_path / name)),
            *("--threads", "1", "--device", "cpu", "--keep-states"),
        ]
        for name in ("whole", "killed")
    }
    end = crash("run", command=commands["whole"])
    assert end["status"] == 0, end
    assert sorted(states(tmp_path / "whole")) == [f"00000{epoch}.safetensors" for epoch in range(6)]
    assert crash("run", command=commands["killed"], epoch=3)["status"] == -9
    assert len(states(tmp_path / "killed")) == 4
    end = crash("run", command=commands["killed"])
    assert end["status"] == 0, end
    assert any("continues after epoch" in line for line in end["lines"])
    assert states(tmp_path / "killed") == states(tmp_path / "whole")
    assert same.leftovers(tmp_path) == []
    assert not any("without states" in line for line in end["lines"])


def test_nothing_is_said_where_nothing_is_wrong(x, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PoorFitWarning)  # of four epochs
        model().fit(x, checkpoint=tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


# --- conversion ---


def tar_of_images(path, n=40):
    """A tar file of n images of 24×24, with labels in words."""
    pixels = np.random.default_rng(0).integers(0, 256, (n, 24, 24), dtype=np.uint8)
    with tarfile.open(path, "w") as tar:
        for i, image in enumerate(pixels):
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG")
            for ending, data in (("png", png.getvalue()), ("cls", str(i % 3).encode())):
                member = tarfile.TarInfo(f"{i:03}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return pixels


def stage(shards, n):
    """The first file of a conversion into n shards that is not there."""
    if not (shards / "conversion.json").exists():
        return "conversion.json"
    n_parts = len(list(shards.glob("parts/*.json")))
    if n_parts < n:
        return "a part" if len(list(shards.glob("0*.npy"))) > n_parts else "a shard"
    names = ("labels.npy", "identities.npy", "names.txt", "shards.json")
    return next(name for name in names if not (shards / name).exists())


STAGES = ("conversion.json", "a shard", "a part", "labels.npy", "identities.npy", "names.txt", "shards.json")


def test_a_conversion_that_finds_no_room_goes_on_where_there_is_some(disk, tmp_path, monkeypatch):
    """Whatever finds no room: the disk has a page more each time, until all fits."""
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("isthmus.data.conversion.encoded._TOGETHER", 20)  # images, as many as are in a shard
    pixels, shards, stages = tar_of_images(tmp_path / "images.tar"), disk / "s", list[str]()

    def converted():
        return convert(source_of(tmp_path / "images.tar", Framing()), shards, shard_bytes=6000)

    def fault(n_pages):
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - n_pages * 4096))
        try:
            converted()
        except RunError as error:
            return str(error)
        finally:
            (disk / "filler").unlink()
        return ""

    while error := fault(len(stages)):
        assert "the disk is full; " in error
        assert "the same command goes on after them when there is room" in error
        assert not [path for path in shards.rglob("*") if path.name.endswith(".tmp")]
        stages.append(stage(shards, 2))
        images = converted()
        np.testing.assert_array_equal(images.pixels[:][:, 0], pixels)
        np.testing.assert_array_equal(images.labels, np.arange(len(pixels)) % 3)
        assert images.names[7] == "007.png"
        del images  # which has the files open
        shutil.rmtree(shards)
    assert {*stages} == {*STAGES}
