"""The contract of an augmentation, and what an affine map does to a picture."""

import itertools
import math

import numpy as np
import pytest
import torch

from isthmus import Affine, Autoencoder, Conv, Dense, GaussianNoise, Masking
from isthmus.augmentation import augment, random_maps, warped
from isthmus.corruption import corrupt
from isthmus.errors import RequestError
from isthmus.parts import AUGMENTATIONS
from isthmus.persistence import load
from isthmus.training import setup

SHAPE = (2, 6, 9)
N = math.prod(SHAPE)
STILL = Affine(rotation=0, scale=0, shear=0, shift=0, share=1)
EXAMPLES = [
    Affine(share=1),
    Affine(rotation=180, scale=0.9, shear=2, shift=20, share=1),
    Affine(rotation=0, scale=0, shear=0, shift=1.5, share=1),
    Affine(share=1, image_shape=(9, 9, 9)),
]
every_augmentation = pytest.mark.parametrize("part", EXAMPLES, ids=repr)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def x():
    return torch.rand((200, N), generator=seeded(0)) * 0.9 + 0.1


def test_every_augmentation_has_an_example():
    assert {part.kind for part in EXAMPLES} == AUGMENTATIONS.keys()


@every_augmentation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract(part, dtype, x, global_generators):
    x = x.to(dtype)
    before, state = x.clone(), global_generators()
    part.check(N, SHAPE)
    moved = augment(part, x, seeded(1), SHAPE)
    assert moved.shape == x.shape
    assert moved.dtype == dtype
    assert moved.is_contiguous()
    assert torch.equal(x, before)
    assert torch.equal(augment(part, x, seeded(1), SHAPE), moved)
    assert not torch.equal(augment(part, x, seeded(2), SHAPE), moved)
    assert (moved != x).any(dim=1).all(), "every image is changed"
    assert moved.min() >= 0, "between zero and what was there"
    assert moved.max() <= 1
    assert global_generators() == state


@every_augmentation
def test_a_generator_moves_on(part, x):
    generator = seeded(1)
    assert not torch.equal(augment(part, x, generator, SHAPE), augment(part, x, generator, SHAPE))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (3, 4, 1), (1, 28, 28), (2, 5, 8)])
def test_no_strength_changes_nothing_at_any_size(shape):
    x = torch.rand((7, math.prod(shape)), generator=seeded(0))
    same = augment(STILL, x, seeded(1), shape)
    assert torch.equal(same, x)
    assert same.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_a_share_of_the_images_is_changed_and_not_always_the_same(share, x):
    part, generator = Affine(share=share), seeded(3)
    changed = torch.stack([(augment(part, x, generator, SHAPE) != x).any(dim=1) for _ in range(50)])
    assert (changed.sum(dim=1) == share * len(x)).all()
    often = changed.double().mean(dim=0)
    assert ((often - share).abs() <= 5 * (share * (1 - share) / 50) ** 0.5).all()


def test_channels_move_together():
    grey = torch.rand((20, 1, 6, 9), generator=seeded(0))
    moved = augment(Affine(share=1), grey.expand(20, 2, 6, 9).reshape(20, N), seeded(1), SHAPE).view(20, 2, 54)
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert torch.equal(moved[:, 0], augment(Affine(share=1), grey.view(20, 54), seeded(1), (1, 6, 9)))


# --- known pictures ---


def images(*shape):
    return torch.rand(shape, generator=seeded(0))


def maps(n, matrix, shift=(0.0, 0.0)):
    return torch.tensor(matrix).expand(n, 2, 2), torch.tensor(shift).expand(n, 2)


def near(found, expected):
    """Within a millionth or so: a place in an image is a float32."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


IDENTITY = [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("side", [1, 5, 6])
@pytest.mark.parametrize(("quarters", "matrix"), [(1, [[0.0, -1.0], [1.0, 0.0]]), (2, [[-1.0, 0.0], [0.0, -1.0]])])
def test_a_quarter_turn_is_a_quarter_turn(side, quarters, matrix):
    square = images(3, 2, side, side)
    near(warped(square, *maps(3, matrix)), torch.rot90(square, quarters, (2, 3)))


def test_a_whole_shift_leaves_zeros():
    image = images(2, 1, 4, 6)
    moved = warped(image, *maps(2, IDENTITY, (2.0, -1.0)))
    near(moved[:, :, 1:, :4], image[:, :, :-1, 2:])
    near(moved[:, :, 0], torch.zeros(2, 1, 6))
    near(moved[:, :, :, 4:], torch.zeros(2, 1, 4, 2))
    assert warped(image, *maps(2, IDENTITY, (50.0, 0.0))).eq(0).all()


def test_half_a_shift_is_the_mean_of_neighbours():
    image = images(2, 1, 4, 6)
    moved = warped(image, *maps(2, IDENTITY, (0.5, 0.0)))
    near(moved[..., :-1], (image[..., :-1] + image[..., 1:]) / 2)
    near(moved[..., -1], image[..., -1] / 2)


def test_every_pixel_is_a_weighted_sum_of_four():
    """Against the definition, pixel by pixel, for maps as wild as they come."""
    image = images(6, 2, 4, 7).double()
    matrix, shift = random_maps(Affine(rotation=180, scale=0.5, shear=1, shift=3), 6, seeded(2), image)
    moved = warped(image, matrix, shift)
    for n, row, column in itertools.product(range(6), range(4), range(7)):
        p = torch.tensor([column - 3, row - 1.5]).double()
        x, y = (matrix[n] @ p + shift[n] + torch.tensor([3, 1.5])).tolist()
        expected = torch.zeros(2).double()
        for i, j in itertools.product(range(4), range(7)):
            expected += image[n, :, i, j] * max(0, 1 - abs(x - j)) * max(0, 1 - abs(y - i))
        torch.testing.assert_close(moved[n, :, row, column], expected)


@pytest.mark.parametrize(
    ("part", "bound"),
    [
        (
            Affine(rotation=10, scale=0, shear=0, shift=0),
            lambda m, s: torch.atan2(m[:, 1, 0], m[:, 1, 1]).rad2deg() / 10,
        ),
        (Affine(rotation=0, scale=0.2, shear=0, shift=0), lambda m, s: (1 / m[:, 0, 0] - 1) / 0.2),
        (Affine(rotation=0, scale=0.2, shear=0, shift=0), lambda m, s: (1 / m[:, 1, 1] - 1) / 0.2),
        (Affine(rotation=0, scale=0, shear=0.3, shift=0), lambda m, s: m[:, 0, 1] / 0.3),
        (Affine(rotation=0, scale=0, shear=0, shift=2), lambda m, s: s[:, 0] / 2),
        (Affine(rotation=0, scale=0, shear=0, shift=2), lambda m, s: s[:, 1] / 2),
    ],
)
def test_each_change_is_drawn_evenly_up_to_its_bound(part, bound):
    found = bound(*random_maps(part, 4000, seeded(0), torch.zeros(1, dtype=torch.float64)))
    assert found.abs().max() <= 1 + 1e-9
    assert found.abs().max() > 0.99
    assert abs(found.mean()) < 0.05
    assert found.var().item() == pytest.approx(1 / 3, rel=0.05)


# --- what does not fit ---


@pytest.mark.parametrize(
    ("part", "shape", "message"),
    [
        (Affine(), None, r"affine augmentation needs images: give \(n, channels, height, width\), or image_shape"),
        (Affine(), (1, 5, 5), r"image_shape must be of 108 numbers, .*, got \(1, 5, 5\)"),
        (Affine(image_shape=(1, 5, 5)), None, "image_shape must be of 108 numbers"),
    ],
)
def test_what_does_not_fit_is_refused(part, shape, message, x):
    for refuses in (lambda: part.check(N, shape), lambda: augment(part, x, seeded(0), shape)):
        with pytest.raises(RequestError, match=message):
            refuses()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rotation": 181}, "rotation must be 0 to 180, got 181"),
        ({"rotation": -1}, "rotation must be 0 to 180"),
        ({"scale": 1}, "scale must be at least 0 and below 1, got 1"),
        ({"shear": float("inf")}, "shear must be a finite number of at least 0"),
        ({"shift": -1}, "shift must be at least 0"),
        ({"share": 1.5}, "share must be a number from 0 to 1"),
        ({"share": True}, "share must be"),
        ({"image_shape": (28, 28)}, "image_shape must be"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(RequestError, match=message):
        Affine(**fields)


# --- in a training ---


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).random((60, 1, 6, 6), dtype=np.float32)


def model(**changes):
    return Autoencoder(**{"network": Dense(bottleneck=4), "epochs": 3, "batch_size": 16, "random_state": 0, **changes})


def test_input_and_target_are_the_same_image_and_noise_comes_after(pictures, monkeypatch):
    """The loop corrupts what was augmented, and compares with what was augmented."""
    seen = []

    def watched(part, x, generator, image_shape):
        x_noisy = corrupt(part, x, generator, image_shape)
        seen.append((x.clone(), x_noisy))
        return x_noisy

    compared = []
    whole = setup.Objective.with_gradients

    def compare(self, x_hat, code, x, *others):
        compared.append(x.clone())
        return whole(self, x_hat, code, x, *others)

    monkeypatch.setattr(setup, "corrupt", watched)
    monkeypatch.setattr(setup.Objective, "with_gradients", compare)
    model(augmentation=Affine(shift=2, share=1), corruption=Masking(0.3), epochs=1, shuffle=False).fit(pictures)
    flat = torch.from_numpy(pictures.reshape(60, -1))
    assert len(compared) == 4
    for i, ((x, x_noisy), target) in enumerate(zip(seen[:4], compared, strict=True)):
        assert torch.equal(x, target)
        assert not torch.equal(x_noisy, target)
        assert (x != flat[i * 16 : i * 16 + 16]).any(dim=1).all()


def test_nothing_but_the_training_is_augmented(pictures):
    plain, moved = model(), model(augmentation=Affine(share=1))
    for one in (plain, moved):
        one.fit(pictures, validation=pictures)
    assert (plain.history_.losses != moved.history_.losses).all()
    # of the last epoch's weights, the validation loss is that of the images as they are
    assert moved.history_.validation_losses[-1] == pytest.approx(-moved.score(pictures), rel=1e-5)
    assert np.array_equal(moved.reconstruct(pictures), moved.reconstruct(pictures))


def test_augmentation_leaves_order_start_and_noise_as_they_were(pictures):
    noisy = {"corruption": GaussianNoise(0.2)}
    plain, still = model(**noisy).fit(pictures), model(**noisy, augmentation=STILL).fit(pictures)
    assert np.array_equal(plain.transform(pictures), still.transform(pictures))


def test_a_training_with_augmentation_is_a_function_of_the_seed(pictures):
    part = Affine(share=0.5)
    first, second = (model(augmentation=part, random_state=s).fit(pictures) for s in (0, 1))
    assert np.array_equal(
        first.transform(pictures), model(augmentation=part, random_state=0).fit(pictures).transform(pictures)
    )
    assert not np.array_equal(first.transform(pictures), second.transform(pictures))


def test_flat_samples_have_the_networks_shape_or_the_parts(pictures):
    flat = pictures.reshape(60, -1)
    by_part = model(augmentation=Affine(image_shape=(1, 6, 6))).fit(flat)
    assert np.array_equal(by_part.transform(flat), model(augmentation=Affine()).fit(pictures).transform(pictures))
    model(network=Conv((2,), image_shape=(1, 6, 6)), augmentation=Affine(), epochs=1).fit(flat)
    with pytest.raises(RequestError, match="affine augmentation needs images"):
        model(augmentation=Affine()).fit(flat)


def test_it_is_a_parameter_like_any_other(pictures, tmp_path):
    one = model(augmentation=Affine(rotation=5))
    assert one.get_params()["augmentation__rotation"] == 5
    one.set_params(augmentation__rotation=7, augmentation__share=1)
    assert one.augmentation == Affine(rotation=7, share=1)
    one.fit(pictures).save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.augmentation == Affine(rotation=7, share=1)
    assert np.array_equal(again.transform(pictures), one.transform(pictures))
    with pytest.raises(RequestError, match="augmentation must be one of isthmus' parts Affine, got Masking"):
        model(augmentation=Masking(0.1)).fit(pictures)


# --- what lies beyond the edges ---


@pytest.mark.parametrize("fill", ["edge", "reflect"])
def test_a_blank_page_stays_blank(fill):
    page = torch.full((50, N), 0.95)
    moved = augment(Affine(rotation=30, shift=3, share=1, fill=fill), page, seeded(0), SHAPE)
    near(moved, page)
    assert augment(Affine(rotation=30, shift=3, share=1, fill="zeros"), page, seeded(0), SHAPE).min() == 0


def test_the_edge_goes_on_or_is_mirrored():
    row = torch.tensor([1.0, 2, 3, 4]).view(1, 1, 1, 4)
    near(warped(row, *maps(1, IDENTITY, (2.0, 0.0)), "edge").view(4), torch.tensor([3.0, 4, 4, 4]))
    near(warped(row, *maps(1, IDENTITY, (2.0, 0.0)), "reflect").view(4), torch.tensor([3.0, 4, 4, 3]))


def test_borders_are_not_black_unless_that_is_said():
    assert Affine().fill == "edge"
    with pytest.raises(RequestError, match='unknown fill "black"; known: edge, reflect, zeros'):
        Affine(fill="black")
