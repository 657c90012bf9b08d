"""The quantized code: known clusters, maps, vectors that are not used, and what decodes as their nearest."""

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, Conv, Dense, Quantized, collapse
from isthmus.cli import run_command
from isthmus.codes import build
from isthmus.errors import RequestError

LINEAR = Dense(bottleneck=2, code_activation="linear")


@pytest.fixture(scope="module")
def clusters():
    """400 points of 6 numbers about 4 centres, and the centre of each."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 6)) * 2
    which = rng.integers(0, 4, 400)
    return (centres[which] + 0.1 * rng.normal(size=(400, 6))).astype(np.float32), centres[which]


def model(code, network=LINEAR, **changes):
    given = {"epochs": 30, "batch_size": 50, "learning_rate": 0.02, "random_state": 0}
    return Autoencoder(network, code=code, **{**given, **changes})


def test_it_finds_clusters_and_their_centres(clusters):
    x, centres = clusters
    fitted = model(Quantized(8), Dense(bottleneck=3, code_activation="linear"), epochs=60).fit(x)
    code, vectors = fitted.transform(x), fitted.network_.code.vectors[0].numpy()
    assert all((vectors == row).all(axis=1).any() for row in code)
    assert 4 <= len(np.unique(code, axis=0)) <= 8
    assert np.square(fitted.reconstruct(x) - centres).mean() < 0.02 * centres.var()
    np.testing.assert_allclose(fitted.reconstruct(x), fitted.inverse_transform(code), rtol=1e-5, atol=1e-5)
    assert fitted.history_[-1].terms["commitment"] < fitted.history_[0].terms["commitment"]
    assert collapse.collapse(fitted, x) is None


def test_what_is_no_vector_decodes_as_the_nearest(clusters):
    fitted = model(Quantized(4)).fit(clusters[0])
    code = fitted.transform(clusters[0][:20])
    near = code + np.float32(1e-3)
    np.testing.assert_array_equal(fitted.inverse_transform(near), fitted.inverse_transform(code))
    np.testing.assert_array_equal(fitted.inverse_transform(code.astype(np.float64)).astype(np.float32).round(4),
                                  fitted.inverse_transform(code).round(4))  # fmt: skip
    with pytest.raises(RequestError, match="has no prior to sample from"):
        fitted.sample(2)


def quantizer(part, code_size=2, shape=None):
    network = build(Dense(bottleneck=code_size, code_activation="linear"), part, 6, torch.Generator().manual_seed(0))
    network.code.place(shape)
    return network.code.train()


def test_vectors_are_running_averages_and_the_gradient_passes_straight_through():
    code, stream = quantizer(Quantized(3, decay=0.5, restart=1000)), torch.Generator().manual_seed(0)
    code.idle.zero_()
    code.vectors.copy_(torch.tensor([[[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]]))
    code.counts.fill_(2)
    code.sums.copy_(2 * code.vectors)
    z = torch.tensor([[1.0, 0.0], [3.0, 0.0], [4.0, 1.0], [0.0, -1.0]], requires_grad=True)
    out = code.in_training(z, stream)
    expected = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(out.seen, expected)
    torch.testing.assert_close(torch.autograd.grad(out.seen.sum(), z, retain_graph=True)[0], torch.ones(4, 2))
    term = out.terms["commitment"]
    assert (term.weight, term.per) == (0.25, "element")
    torch.testing.assert_close(torch.autograd.grad(term.values.sum(), z)[0], 2 * (z - expected).detach())
    code.after_step()
    # counts: (2 + 2) / 2 twice, then 2 / 2; sums: half of what was and half of what came
    torch.testing.assert_close(code.counts, torch.tensor([[2.0, 2.0, 1.0]]))
    torch.testing.assert_close(code.vectors[0], torch.tensor([[0.25, -0.25], [3.75, 0.25], [0.0, 4.0]]))
    assert code.idle.tolist() == [[0, 0, 1]]
    before = code.vectors.clone()
    code.eval().in_training(z, stream)
    code.after_step()
    torch.testing.assert_close(code.vectors, before)  # a validation changes nothing


def test_a_vector_that_is_not_used_is_put_at_an_encoding():
    code, stream = quantizer(Quantized(3, restart=5)), torch.Generator().manual_seed(0)
    z = torch.randn((8, 2), generator=stream)
    code.in_training(z, stream)
    assert all((z == vector).all(dim=1).any() for vector in code.vectors[0]), "so they begin"
    code.vectors[0, 1] = code.sums[0, 1] = 100.0
    code.idle[0, 1] = 0
    for _ in range(5):
        code.in_training(z, stream)
        assert code.vectors[0, 1, 0] == 100
    code.in_training(z, stream)
    assert (z == code.vectors[0, 1]).all(dim=1).any()


def test_maps_are_quantized_at_each_place_and_pieces_by_codebooks_of_their_own():
    code = quantizer(Quantized(5, n_parts=2), 4 * 3 * 2, (4, 3, 2))
    z = torch.randn((7, 4, 3, 2), generator=torch.Generator().manual_seed(0))
    code.in_training(z.flatten(1), torch.Generator().manual_seed(0))
    assert code.vectors.shape == (2, 5, 2)
    found = code.at_inference(z.flatten(1)).view(7, 4, 3, 2)
    for part in range(2):
        channels = slice(2 * part, 2 * part + 2)
        pieces = z[:, channels].permute(0, 2, 3, 1).reshape(-1, 2)
        nearest = code.vectors[part][torch.cdist(pieces, code.vectors[part]).argmin(dim=1)]
        torch.testing.assert_close(found[:, channels].permute(0, 2, 3, 1).reshape(-1, 2), nearest)


def test_convolutions_learn_with_it(images):
    fitted = model(Quantized(8, 2), Conv((4, 4), code_activation="linear", output="sigmoid"), epochs=40).fit(images)
    assert fitted.history_.losses[-1] < 0.7 * fitted.history_.losses[0]
    assert (
        len(
            np.unique(fitted.transform(images).reshape(60, 2, 2, -1).transpose(1, 0, 3, 2).reshape(2, -1, 2)[0], axis=0)
        )
        <= 8
    )


def test_a_codebook_that_is_not_used_is_told_of(clusters):
    fitted = model(Quantized(64)).fit(clusters[0])
    assert collapse.collapse(fitted, clusters[0]) is None
    fitted.network_.code.counts.zero_()[0, 3] = 50.0
    assert collapse.collapse(fitted, clusters[0]).what == "its codebook is used as if it had 1.0 of its 64 vectors"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n_vectors": 1}, "n_vectors must be an integer of at least 2, got 1"),
        ({"n_vectors": 8, "n_parts": 0}, "n_parts must be an integer of at least 1"),
        ({"n_vectors": 8, "commitment": -1}, "commitment must be at least 0, got -1"),
        ({"n_vectors": 8, "decay": 1}, "decay must be a number from 0 to below 1, got 1"),
        ({"n_vectors": 8, "restart": 0}, "restart must be an integer of at least 1"),
    ],
    ids=str,
)
def test_wrong_numbers_are_refused(wrong, words):
    with pytest.raises(RequestError, match=words):
        Quantized(**wrong)


def test_parts_that_do_not_divide_the_code_are_refused(clusters, images):
    with pytest.raises(RequestError, match="n_parts must divide the 2 numbers of a code, got 3"):
        model(Quantized(8, 3)).fit(clusters[0])
    with pytest.raises(RequestError, match="n_parts must divide the 4 maps of a code, got 3"):
        model(Quantized(8, 3), Conv((4,), code_activation="linear")).fit(images)


@pytest.fixture
def of_maps(images):
    """Two codebooks at each of four places, of images."""
    network = Conv((4, 4), code_activation="linear", output="sigmoid")
    return model(Quantized(8, 2), network, epochs=40).fit(images)


def test_indices_are_those_of_the_vectors_of_a_code_and_decode_as_it_does(clusters, images, of_maps):
    fitted = model(Quantized(8, 2), Dense(bottleneck=6, code_activation="linear")).fit(clusters[0])
    for model_, x, n_places in ((fitted, clusters[0], 1), (of_maps, images.floats().reshape(-1, 1, 8, 8), 4)):
        indices, code = model_.indices(x), model_.transform(x)
        assert indices.shape == (len(x), 2 * n_places)
        assert indices.dtype == np.int64
        assert 1 < len(np.unique(indices)) <= 8
        vectors = model_.network_.code.vectors.numpy()
        pieces = code.reshape(len(x), 2, -1, n_places).swapaxes(2, 3)
        for part in range(2):
            which = indices.reshape(len(x), 2, n_places)[:, part]
            np.testing.assert_array_equal(vectors[part][which], pieces[:, part])
        for given in (indices, indices.astype(np.uint8), indices.tolist()):
            np.testing.assert_array_equal(model_.inverse_transform(given), model_.inverse_transform(code))
        np.testing.assert_array_equal(model_.indices(x.astype(np.float64)), indices)


def test_indices_of_no_codebook_are_refused_and_other_codes_have_none(clusters):
    fitted = model(Quantized(4, 2), epochs=2).fit(clusters[0])
    with pytest.raises(RequestError, match="indices must be a codebook's, each of 4 vectors, 0 to 3, got 7"):
        fitted.inverse_transform([[3, 7]])
    with pytest.raises(RequestError, match="got -1"):
        fitted.inverse_transform([[0, -1]])
    with pytest.raises(RequestError, match="indices must be of 2 columns, one for each piece, got 3"):
        fitted.inverse_transform([[0, 1, 2]])
    near = fitted.inverse_transform([[3.0, 7.0]])
    assert near.shape == (1, 6), "numbers are the nearest vectors, as ever"
    plain = model(None, epochs=1).fit(clusters[0])
    np.testing.assert_array_equal(plain.inverse_transform([[3, 7]]), plain.inverse_transform([[3.0, 7.0]]))
    with pytest.raises(RequestError, match=r"code Plain\(\) has no codebook; fit with code=Quantized\(n_vectors\)"):
        plain.indices(clusters[0])


def test_the_command_line_writes_indices(images, of_maps, tmp_path, capsys):
    of_maps.save(tmp_path / "m")
    np.save(tmp_path / "x.npy", images.pixels)
    command = ["encode", str(tmp_path / "m"), str(tmp_path / "x.npy"), "--indices", "-o"]
    for name in ("i.npz", "i.csv"):
        assert run_command([*command, str(tmp_path / name)]) == 0
    indices = of_maps.indices(images)
    with np.load(tmp_path / "i.npz") as file:
        np.testing.assert_array_equal(file["indices"], indices)
        np.testing.assert_array_equal(of_maps.inverse_transform(file["indices"]),
                                      of_maps.inverse_transform(of_maps.transform(images)))  # fmt: skip
    first, second = (tmp_path / "i.csv").read_text().splitlines()[:2]
    assert first == "name,label," + ",".join(f"indices_{i}" for i in range(8))
    assert second.split(",")[2:] == [str(i) for i in indices[0]]
    Autoencoder(Dense(bottleneck=2), epochs=1).fit(images).save(tmp_path / "p")
    capsys.readouterr()
    assert run_command(["encode", str(tmp_path / "p"), *command[2:], str(tmp_path / "p.npz")]) == 2
    assert "code Plain() has no codebook" in capsys.readouterr().err
