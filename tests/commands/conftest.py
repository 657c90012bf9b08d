"""Small real collections, and models that were trained on them by the command itself."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from isthmus.cli import run_command


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test reads or fills the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISTHMUS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder of 90 handwritten digits, 8×8 grey PNGs, in three sub-folders: zero, one, seven."""
    folder, data = tmp_path_factory.mktemp("collections") / "digits", load_digits()
    for label, name in ((0, "zero"), (1, "one"), (7, "seven")):
        (folder / name).mkdir(parents=True)
        for i in np.flatnonzero(data.target == label)[:30]:
            pixels = np.rint(data.images[i] * 255 / 16).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of photographs of three sizes: an RGB JPEG, an RGB PNG, and a grey TIFF of 16 bits in a sub-folder."""
    folder = tmp_path_factory.mktemp("collections") / "photographs"
    (folder / "deep").mkdir(parents=True)
    china, flower = load_sample_images().images
    Image.fromarray(china[100:190, 200:320]).save(folder / "china.jpg", quality=95, subsampling=0)
    Image.fromarray(flower[100:180, 250:330]).save(folder / "flower.png")
    grey = china[200:260, 300:371].mean(axis=2) * 257
    Image.fromarray(grey.round().astype(np.uint16)).save(folder / "deep" / "grey.tif")
    return folder


LONG = ("--epochs", 150, "--learning-rate", 0.01)


def fitted(folder, *arguments):
    assert run_command(["fit", *map(str, arguments), "-o", str(folder), "--threads", "1", "--device", "cpu"]) == 0
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory, digits):
    """An autoencoder of the digits folder, which is not PCA: so of some images it knows nothing but its best epoch."""
    network = ("--hidden", 32, "--bottleneck", 6, "--code-activation", "tanh")
    return fitted(tmp_path_factory.mktemp("models") / "small", digits, *network, *LONG)


@pytest.fixture(scope="session")
def denoiser(tmp_path_factory, photographs):
    """A denoiser of patches of the photographs."""
    corruption = ["--corruption", "gaussian:0.1", "--epochs", 15]
    return fitted(tmp_path_factory.mktemp("models") / "denoiser", photographs, "--patches", "8x8", *corruption)


@pytest.fixture
def copy_of():
    """Copy a fixture's folder, to be damaged."""
    return lambda folder, to: shutil.copytree(folder, to)


@pytest.fixture
def refused(capsys):
    """Run a command that is refused, and give the one line of its error; exit code 2 unless another is named."""

    def run(*arguments, code=2):
        capsys.readouterr()
        assert run_command([str(one) for one in arguments]) == code
        out, err = capsys.readouterr()
        assert out == ""
        line = err.splitlines()[-1]
        assert line.startswith("isthmus: ")
        return line

    return run


@pytest.fixture
def done(capsys):
    """Run a command that succeeds, and give (stdout, stderr)."""

    def run(*arguments):
        capsys.readouterr()
        code = run_command([str(one) for one in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out, err

    return run
