"""ONNX files under onnxruntime give what the estimators give."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA
from torch import nn

from isthmus import Autoencoder, Conv, Dense, Dictionary, Gaussian, Module, Quantized, save
from isthmus.cli import run_command
from isthmus.errors import RequestError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-5


def run(path, **inputs):
    """The one output of a file, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert {each.name for each in session.get_inputs()} == set(inputs)
    (output,) = session.run(None, inputs)
    return output


def pictures(shape, n=40, seed=0):
    """Images with blobs on a ground that is the same everywhere, where all maxima of a window are equal."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, *shape), np.float32)
    for image in x:
        top, left = rng.integers(0, shape[1] - 4), rng.integers(0, shape[2] - 4)
        image[:, top : top + 4, left : left + 4] = rng.random((shape[0], 4, 4))
    return x


def fitted(network, X, **parameters):
    return Autoencoder(network, **{"epochs": 2, "learning_rate": 1e-2, "random_state": 0, **parameters}).fit(X)


def check(model, X, tmp_path):
    """All three functions, of several samples and of one."""
    code = model.transform(X)
    assert code.std() > 0, "the test would hold of nothing"
    for function, given, name, expected in (
        ("reconstruct", X, "x", model.reconstruct(X)),
        ("encode", X, "x", code),
        ("decode", code, "code", model.inverse_transform(code)),
    ):
        path = tmp_path / f"{function}.onnx"
        model.to_onnx(path, function)
        assert expected.std() > 0
        np.testing.assert_allclose(run(path, **{name: given}), expected, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(run(path, **{name: given[:1]}), expected[:1], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("activation", ["gelu", "leakyrelu", "linear", "relu", "sigmoid", "silu", "tanh"])
def test_dense_layers_with_each_activation(x, tmp_path, activation):
    check(fitted(Dense((12, 7), 5, activation=activation, code_activation=activation, output="linear"), x), x, tmp_path)


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_one_layer_on_images(tmp_path, output):
    X = pictures((3, 6, 5))
    check(fitted(Dense(bottleneck=4, output=output), X), X, tmp_path)


@pytest.mark.parametrize("hidden", [(), (9,)])
def test_a_dictionary(x, tmp_path, hidden):
    check(fitted(Dictionary(hidden=hidden, n_atoms=11), x), x, tmp_path)


@pytest.mark.parametrize("decoder", ["deconv", "unpool", "deconv-unpool"])
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 13, 11)])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_convolutions_with_each_decoder(tmp_path, decoder, shape, activation):
    X = pictures(shape)
    check(fitted(Conv((4, 4), decoder=decoder, activation=activation), X), X, tmp_path)


def test_convolutions_without_padding(tmp_path):
    X = pictures((2, 16, 15))
    check(fitted(Conv((3, 4), kernel=3, padding=0, decoder="unpool"), X), X, tmp_path)


def test_convolutions_of_rows(tmp_path):
    X = pictures((1, 8, 9)).reshape(40, -1)
    check(fitted(Conv((3,), image_shape=(1, 8, 9)), X), X, tmp_path)


@pytest.mark.parametrize("network", [Dense((9,), 4, output="sigmoid"), Conv((3,), decoder="unpool"), Dictionary((), 7)])
def test_what_is_standardized_stays_in_its_units(tmp_path, network):
    X = 200 + 50 * pictures((3, 8, 8)) * np.array([1, 2, 0.1], np.float32)[:, None, None]
    model = fitted(network, X, standardize=True)
    assert model.network_.standardization is not None
    scaled = 1e-6 * np.abs(X).max()  # of float32, whose numbers here are 1.5e-5 apart
    model.to_onnx(tmp_path / "m.onnx")
    np.testing.assert_allclose(run(tmp_path / "m.onnx", x=X), model.reconstruct(X), rtol=0, atol=scaled)
    model.to_onnx(tmp_path / "e.onnx", "encode")
    np.testing.assert_allclose(run(tmp_path / "e.onnx", x=X), model.transform(X), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("network", [Dense((9,), 4, code_activation="linear"), Conv((3, 4), code_activation="linear")])
@pytest.mark.parametrize("code", [Gaussian(), Quantized(8, 2)])
def test_codes_of_other_kinds(tmp_path, network, code):
    X = pictures((1, 9, 8))
    check(fitted(network, X, code=code, epochs=6), X, tmp_path)


def test_a_quantized_code_decodes_other_numbers_as_their_nearest_vectors(tmp_path):
    X = pictures((1, 9, 8))
    model = fitted(Dense((9,), 4, code_activation="linear"), X, code=Quantized(8, 2), epochs=6)
    code = model.transform(X) + np.float32(0.01)
    model.to_onnx(tmp_path / "m.onnx", "decode")
    np.testing.assert_allclose(run(tmp_path / "m.onnx", code=code), model.inverse_transform(code), atol=TOLERANCE)


def test_the_file_says_what_it_takes(x, tmp_path):
    X = pictures((1, 6, 5))
    fitted(Dense(bottleneck=3), X).to_onnx(tmp_path / "m.onnx", "encode")
    model = onnx.load(tmp_path / "m.onnx")
    facts = {each.key: each.value for each in model.metadata_props}
    assert facts["image_shape"] == "1,6,5"
    assert facts["function"] == "encode"
    assert facts["training_minimum"] == "0"
    assert facts["isthmus"] == model.producer_version
    assert "x (n, 1, 6, 5) -> code (n, 3)" in model.doc_string
    (given,) = model.graph.input
    assert [side.dim_param or side.dim_value for side in given.type.tensor_type.shape.dim] == ["n", 1, 6, 5]


def test_an_unknown_function_and_a_place_that_cannot_be_written_are_refused(x, tmp_path):
    model = fitted(Dense(bottleneck=3), x)
    with pytest.raises(RequestError, match=r'unknown function "encod".*Did you mean "encode"'):
        model.to_onnx(tmp_path / "m.onnx", "encod")
    with pytest.raises(RequestError, match="cannot write"):
        model.to_onnx(tmp_path / "missing" / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(x, tmp_path, monkeypatch):
    model = fitted(Dense(bottleneck=3), x)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(RequestError, match=r"to_onnx needs onnx: pip install 'isthmus\[onnx\]'"):
        model.to_onnx(tmp_path / "m.onnx")


def build(shape, width=6):
    """Modules of one's own: convolutions and batch normalization, and back."""
    c, h, w = shape
    encoder = nn.Sequential(
        nn.Conv2d(c, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * h * w, width)
    )
    return encoder, nn.Sequential(nn.Linear(width, c * h * w), nn.Unflatten(1, shape))


@pytest.mark.slow  # torch's exporter is imported in seconds
def test_modules_of_ones_own_go_through_torchs_exporter(tmp_path):
    pytest.importorskip("onnxscript")
    X = pictures((1, 6, 7))
    model = fitted(Module(build), X, standardize=True)
    check(model, X, tmp_path)
    assert {each.key for each in onnx.load(tmp_path / "encode.onnx").metadata_props} >= {"image_shape", "function"}


class Undecided(nn.Module):
    """What it computes depends on its numbers, which no graph can say."""

    def __init__(self, n):
        super().__init__()
        self.layer = nn.Linear(n, 4)

    def forward(self, x):
        y = self.layer(x)
        return y if y.sum().item() > 0 else 2 * y


@pytest.mark.slow
def test_modules_that_torchs_exporter_refuses_are_refused_in_a_line(x, tmp_path, capfd):
    pytest.importorskip("onnxscript")
    model = fitted(Module(lambda shape: (Undecided(shape[0]), nn.Linear(4, shape[0]))), x, epochs=1)
    with pytest.raises(
        RequestError, match=r"torch's exporter cannot write Module\(.*\) as ONNX: Could not guard on"
    ) as e:
        model.to_onnx(tmp_path / "m.onnx")
    assert "\n" not in str(e.value)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_modules_of_ones_own_without_torchs_exporter_are_refused(tmp_path, monkeypatch):
    model = fitted(Module(build), pictures((1, 6, 7)), epochs=1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"torch's own exporter, which needs onnxscript: pip install onnxscript"):
        model.to_onnx(tmp_path / "m.onnx")


def test_the_command_writes_what_the_method_does(x, tmp_path, capsys):
    model = fitted(Dense(bottleneck=3), x)
    model.save(tmp_path / "m")
    model.to_onnx(tmp_path / "expected.onnx", "encode")
    command = ["export", str(tmp_path / "m"), "-o", str(tmp_path / "new" / "e.onnx"), "--function", "encode"]
    assert run_command(command) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'new' / 'e.onnx'}\n"
    assert (tmp_path / "new" / "e.onnx").read_bytes() == (tmp_path / "expected.onnx").read_bytes()
    assert run_command(command) == 2
    assert "add --force" in capsys.readouterr().err


def test_the_command_refuses_what_has_no_file(x, tmp_path, capsys):
    save(PCA(2).fit(x), tmp_path / "pca")
    assert run_command(["export", str(tmp_path / "pca"), "-o", str(tmp_path / "p.onnx")]) == 2
    assert "is a PCA; autoencoders and denoisers of photographs are exported" in capsys.readouterr().err
    assert run_command(["export", str(tmp_path / "pca"), "-o", str(tmp_path / "p.pt")]) == 2
    assert "-o must be a file that ends in .onnx" in capsys.readouterr().err
