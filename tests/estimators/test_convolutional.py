"""The autoencoder with a convolutional network: images however they are given, of any size, kept and checked."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import L1, Autoencoder, Conv, Dense, GaussianNoise, Images, Masking, Occlusion, Sequence, load, save
from isthmus.errors import DoubtWarning, RequestError
from isthmus.parts import DECODERS

every_decoder = pytest.mark.parametrize("decoder", DECODERS)


@pytest.fixture
def colours():
    """(80, 3, 11, 9) float32 in [0, 1]: a grainy square of one colour on a dark grainy ground, somewhere."""
    rng = np.random.default_rng(2)
    x = 0.1 * rng.random((80, 3, 11, 9), np.float32)
    places = rng.integers(0, [7, 5], (80, 2))
    for image, (i, j), colour in zip(x, places, rng.random((80, 3, 1, 1), np.float32), strict=True):
        image[:, i : i + 4, j : j + 4] += 0.9 * colour
    return x


def small(**changes):
    """A convolutional autoencoder that is quick to train and whose output moves; keywords replace arguments."""
    network = Conv((4, 6), activation="silu")
    return Autoencoder(**{"network": network, "epochs": 2, "batch_size": 20, "random_state": 0, **changes})


def same(a, b):
    np.testing.assert_array_equal(a, b, strict=True)


# --- it learns, whatever the images are ---


@every_decoder
def test_the_loss_falls_and_the_output_moves(decoder, colours):
    model = small(epochs=30, learning_rate=0.02).set_params(network__decoder=decoder).fit(colours)
    assert model.history_[-1].loss < 0.5 * model.history_[0].loss
    assert model.score(colours) > -0.5 * colours.var(axis=0).mean(), "far better than the mean image"
    x_hat, code = model.reconstruct(colours), model.transform(colours)
    assert x_hat.shape == colours.shape
    assert x_hat.std(axis=0).min() > 0
    assert code.shape == (80, 6 * 2 * 2), "11×9 is pooled to 5×4, and that to 2×2"
    assert code.std(axis=0).max() > 0


def test_images_may_come_in_three_ways(colours):
    flat = colours.reshape(80, -1)
    shape = (3, 11, 9)
    from_array, from_images = small().fit(colours), small().fit(Images(colours))
    from_flat = small(network=Conv((4, 6), activation="silu", image_shape=shape)).fit(flat)
    code = from_array.transform(colours)
    same(from_images.transform(Images(colours)), code)
    same(from_flat.transform(flat), code)
    assert from_array.image_shape_ == from_images.image_shape_ == shape
    assert from_flat.image_shape_ is None
    same(from_flat.reconstruct(flat), from_array.reconstruct(colours).reshape(80, -1))
    same(from_flat.inverse_transform(code), from_array.inverse_transform(code).reshape(80, -1))
    same(from_array.transform(flat), code)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 7, 13), (2, 9, 30), (4, 21, 5)])
@every_decoder
def test_images_of_any_size_and_number_of_channels(shape, decoder):
    x = np.random.default_rng(0).random((30, *shape), np.float32)
    model = small().set_params(network__decoder=decoder).fit(x)
    assert model.reconstruct(x).shape == x.shape
    assert model.inverse_transform(model.transform(x)).shape == x.shape
    assert model.reconstruct(x).std(axis=0).max() > 0
    assert model.score_samples(x) == pytest.approx(-np.square(model.reconstruct(x) - x).mean(axis=(1, 2, 3)), rel=1e-4)


def test_samples_without_a_shape_are_refused_with_the_way_out(x):
    with pytest.raises(RequestError, match=r"needs images: give \(n, channels, height, width\), or Conv\(image_shape="):
        small(network=Conv((4,))).fit(x)
    with pytest.raises(RequestError, match=r"image_shape must be of 16 numbers, as the samples are, got \(1, 5, 5\)"):
        small(network=Conv((4,), image_shape=(1, 5, 5))).fit(x)


def test_a_network_too_deep_for_the_images_is_refused(colours):
    with pytest.raises(RequestError, match="4 layers is deeper than images of 11×9 allow: layer 4 gets 1×1"):
        small(network=Conv((4, 4, 4, 4))).fit(colours)


@pytest.mark.parametrize("flat", [False, True])
def test_images_of_another_size_are_refused_when_it_is_used(flat, colours):
    model = small(network=Conv((4,), activation="silu", image_shape=(3, 11, 9) if flat else None))
    model.fit(colours.reshape(80, -1) if flat else colours)
    for wrong in (colours.reshape(80, 3, 9, 11), colours.reshape(80, 9, 11, 3), colours[:, :1], colours[..., :8]):
        for use in (model.transform, model.reconstruct, model.score_samples):
            with pytest.raises(
                ValueError, match=r"X has images of shape .*, but Autoencoder is expecting \(3, 11, 9\)"
            ):
                use(wrong)
    with pytest.raises(ValueError, match="100 features"):
        model.transform(np.zeros((2, 100), np.float32))
    assert model.transform(colours).shape == (80, 4 * 5 * 4)


def test_validation_images_of_another_size_are_refused(colours):
    with pytest.raises(ValueError, match=r"expecting \(3, 11, 9\)"):
        small().fit(colours, validation=colours.reshape(80, 3, 9, 11))


# --- codes and switches ---


@every_decoder
def test_a_decoder_without_switches_reads_the_code_alone(decoder, colours):
    model = small().set_params(network__decoder=decoder).fit(colours)
    seen, from_code = model.reconstruct(colours), model.inverse_transform(model.transform(colours))
    assert np.array_equal(seen, from_code) is (decoder == "deconv")
    assert from_code.std(axis=0).max() > 0
    assert np.square(seen - colours).mean() <= np.square(from_code - colours).mean()


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples"])
@every_decoder
def test_inference_is_in_the_inputs_precision(method, decoder, colours):
    model = small(precision="bfloat16").set_params(network__decoder=decoder).fit(colours)
    single, double = getattr(model, method)(colours), getattr(model, method)(colours.astype(np.float64))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-4)
    rows = [getattr(model, method)(colours[i : i + 1].astype(np.float64)) for i in range(10)]
    np.testing.assert_allclose(np.concatenate(rows), double[:10], rtol=1e-10, atol=1e-12)


@every_decoder
def test_an_image_alone_is_what_it_is_among_others(decoder, colours):
    """Also where pixels tie in a maximum, with one thread, where torch has another program for a single image."""
    model = small().set_params(network__decoder=decoder).fit(colours)
    n_threads, ties = torch.get_num_threads(), (colours > np.median(colours)).astype(np.float32)
    torch.set_num_threads(1)
    try:
        alone = [model.reconstruct(ties[i : i + 1]) for i in range(len(ties))]
        np.testing.assert_array_equal(np.concatenate(alone), model.reconstruct(ties))
    finally:
        torch.set_num_threads(n_threads)


# --- the contract ---


@every_decoder
def test_the_same_seed_gives_the_same_bits(decoder, colours):
    model = small(corruption=GaussianNoise(0.1)).set_params(network__decoder=decoder)
    first, again, other = (clone(model).set_params(random_state=seed).fit(colours) for seed in (0, 0, 1))
    same(again.reconstruct(colours), first.reconstruct(colours))
    assert again.history_.losses.tolist() == first.history_.losses.tolist()
    assert not np.array_equal(other.transform(colours), first.transform(colours))


@every_decoder
@pytest.mark.parametrize("flat", [False, True])
def test_a_saved_model_comes_back_with_the_same_bits(flat, decoder, colours, tmp_path):
    part = Conv((4, 1), 5, 2, decoder, "silu", image_shape=(3, 11, 9) if flat else None)
    x = colours.reshape(80, -1) if flat else colours
    model = small(network=part).fit(x)
    save(model, tmp_path / "m")
    for again in (load(tmp_path / "m"), pickle.loads(pickle.dumps(model))):
        for dtype in (np.float32, np.float64):
            for method in ("transform", "reconstruct", "score_samples"):
                same(getattr(again, method)(x.astype(dtype)), getattr(model, method)(x.astype(dtype)))
        assert again.image_shape_ == (None if flat else (3, 11, 9))
        assert again.network == part
        assert (again.n_parameters_, again.network_.n_switches) == (model.n_parameters_, model.network_.n_switches)
    same(load(tmp_path / "m").fit(x).transform(x), model.transform(x))


def test_clone_and_set_params_replace_the_part():
    model = small()
    cloned = clone(model)
    assert cloned.network is model.network
    cloned.set_params(network__decoder="unpool", network__channels=[3], network__image_shape=(1, 9, 9))
    assert cloned.network == Conv((3,), decoder="unpool", activation="silu", image_shape=(1, 9, 9))
    assert model.network.decoder == "deconv"
    assert model.get_params()["network__channels"] == (4, 6)
    assert eval(repr(cloned), {"Autoencoder": Autoencoder, "Conv": Conv}).network == cloned.network
    with pytest.raises(ValueError, match='Did you mean "decoder"'):
        model.set_params(network__decodr="unpool")


def test_grid_search_over_decoders(colours):
    """On images that come flat: scikit-learn's splits take either."""
    x = colours.reshape(80, -1)
    model = small(epochs=5, learning_rate=0.02).set_params(network__image_shape=(3, 11, 9))
    grid = {"network__decoder": list(DECODERS), "network__padding": np.array([1, 2])}
    search = GridSearchCV(model, grid, cv=KFold(2), error_score="raise").fit(x)
    assert len(np.unique(search.cv_results_["mean_test_score"])) == 6
    best = search.best_estimator_.network
    assert {"network__decoder": best.decoder, "network__padding": best.padding} == search.best_params_


def test_a_pipeline_of_images(colours):
    pipeline = make_pipeline(FunctionTransformer(check_inverse=False), small()).fit(colours)
    same(pipeline.transform(colours), small().fit(colours).transform(colours))
    assert pipeline.inverse_transform(pipeline.transform(colours)).shape == colours.shape


def test_fitting_leaves_the_global_generators_and_the_images_alone(colours, global_generators):
    state, before = global_generators(), colours.copy()
    small(corruption=Occlusion(3), random_state=None).set_params(network__decoder="unpool").fit(colours)
    assert global_generators() == state
    same(colours, before)


# --- corruptions that look at the image ---


def test_an_occlusion_needs_to_know_the_shape(colours):
    flat = colours.reshape(80, -1)
    square = Occlusion(4, value=0.5)
    with pytest.raises(
        RequestError, match=r"occlusion needs images: give \(n, channels, height, width\), or image_shape"
    ):
        small(network=Dense(bottleneck=4), corruption=square).fit(flat)
    with pytest.raises(RequestError, match="size must be at most 9, the shorter side of the images, got 10"):
        small(corruption=Occlusion(10)).fit(colours)
    with pytest.raises(RequestError, match="occlusion needs images"):
        small(network=Dense(bottleneck=4), corruption=Sequence((Masking(0.1), square))).fit(flat)
    own = Occlusion(4, value=0.5, image_shape=(3, 11, 9))
    by_images, by_its_own = (
        small(network=Dense(bottleneck=4, activation="silu"), corruption=corruption).fit(x).transform(flat)
        for x, corruption in ((colours, square), (flat, own))
    )
    same(by_images, by_its_own)


@pytest.mark.parametrize("corruption", [Masking(0.5), Occlusion(4), Sequence((Occlusion(3), Masking(0.3)))])
def test_a_corruption_is_the_same_whoever_knows_the_shape(corruption, colours):
    flat, clean = colours.reshape(80, -1), small().fit(colours).transform(colours)
    from_images = small(corruption=corruption).fit(colours, validation=colours)
    from_part = small(corruption=corruption).set_params(network__image_shape=(3, 11, 9)).fit(flat, validation=flat)
    same(from_part.transform(flat), from_images.transform(colours))
    assert from_part.history_.validation_losses.tolist() == from_images.history_.validation_losses.tolist()
    assert not np.array_equal(from_images.transform(colours), clean)


def test_masking_takes_a_pixel_in_all_its_channels_where_there_are_any(colours):
    def loss(x):
        still = {"optimizer": "sgd", "learning_rate": 1e-12, "epochs": 1}
        return small(network=Dense(bottleneck=4), corruption=Masking(0.5), **still).fit(x).history_[0].loss

    assert loss(colours) != loss(colours.reshape(80, -1))
    grey = colours[:, :1]
    assert loss(grey) == loss(grey.reshape(80, -1)), "of one channel each number is a pixel"


# --- doubt ---


def test_a_penalty_on_a_code_that_is_never_zero_is_a_warning_where_fit_was_called(colours):
    doubtful = small(penalty=L1(1e-4))
    with pytest.warns(DoubtWarning, match=r'never exactly zero, because its activation is "silu"') as caught:
        doubtful.fit(colours)
    assert {warning.filename for warning in caught} == {__file__}
    assert doubtful.transform(colours).std() > 0, "and never an error"
    small(penalty=L1(1e-4)).set_params(network__code_activation="relu").fit(colours)
    small(penalty=L1(0.0)).fit(colours)
