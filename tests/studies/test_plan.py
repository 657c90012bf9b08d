"""The plan of a run: what trains at once, and with how many threads."""

from __future__ import annotations

import pytest

from isthmus.studies.plan.workload import Work, guessed_seconds, how_many_at_once, longest_first, makespan, ready


def works(*seconds: float, of: tuple[str | None, ...] = ()) -> list[Work]:
    """Works that take so long with one thread."""
    parents = of or (None,) * len(seconds)
    return [
        Work(name, 0, parent, gflop=50 * one) for name, one, parent in zip("abcdef", seconds, parents, strict=False)
    ]


def test_as_many_at_once_as_there_are_threads():
    many = works(100, 100, 100, 100, 100, 100)
    assert [how_many_at_once(many, threads, 0) for threads in (1, 2, 3, 6, 64)] == [1, 2, 3, 6, 6]


def test_alone_where_it_does_not_pay():
    assert how_many_at_once(works(1, 1, 1, 1), 2, 0) == 1, "the start of a process takes longer"
    assert how_many_at_once(works(300, 1, 1), 2, 0) == 1, "the long one has two threads if it is alone"
    assert how_many_at_once(works(100), 2, 0) == 1
    assert how_many_at_once([], 2, 0) == 1


def test_models_that_wait_for_each_other_are_one_after_the_other():
    chain = works(100, 100, 100, of=(None, "a", "b"))
    assert makespan(chain, 2, 1) == pytest.approx(300)
    assert how_many_at_once(chain, 2, 0) == 1
    waiting = longest_first(chain, 1)
    assert [work.model for work in waiting] == ["a", "b", "c"]
    first = waiting.pop(0)
    assert ready(waiting, {first.pair}) is None
    assert ready(waiting) is waiting[0]


def test_those_that_wait_for_the_same_model_are_side_by_side_once_it_is_there():
    fan = works(10, 100, 100, of=(None, "a", "a"))
    assert makespan(fan, 2, 1) == pytest.approx(110)
    assert how_many_at_once(fan, 2, 0) == 2
    assert how_many_at_once(works(100, 1000, 1000, of=(None, "a", "a")), 64, 0) == 2, "more never are at once"


def test_the_longest_way_is_begun_first():
    way = works(30, 1, 10, of=(None, None, "b"))
    assert [work.model for work in longest_first(way, 1)] == ["a", "b", "c"]
    longer = works(30, 1, 50, of=(None, None, "b"))
    assert [work.model for work in longest_first(longer, 1)] == ["b", "c", "a"]
    assert makespan(longer, 2, 1) == pytest.approx(51)


def test_each_seed_waits_for_its_own():
    twice = [Work(name, seed, of) for seed in (0, 1) for name, of in (("a", None), ("b", "a"))]
    waiting = [work for work in twice if work.pair != ("a", 0)]
    assert ready(waiting, {("a", 0)}).pair == ("a", 1)
    assert ready(waiting).pair == ("b", 0)


def test_images_that_would_not_fit_twice_are_held_once():
    many = works(100, 100, 100, 100)
    assert how_many_at_once(many, 2, 1 << 30) == 2
    assert how_many_at_once(many, 2, 3 << 30) == 1


def test_threads_that_another_plan_gave_stay():
    many = works(100, 100, 100, 100)
    assert [how_many_at_once(many, 4, 0, each) for each in (None, 1, 2, 4)] == [4, 4, 2, 1]
    assert how_many_at_once(works(1, 1, 1, 1), 4, 0, 1) == 1, "the start of a process takes longer"


def test_makespan_of_the_longest_first():
    assert makespan(works(1, 1, 4, 2), 2, 1) == pytest.approx(4)
    assert makespan(works(1, 1, 4, 2), 1, 1) == pytest.approx(8)
    assert makespan([], 2, 1) == 0


# Epochs of the study of photographs on two cores with AVX-512, two trainings at a time: GFLOP, steps, seconds
EPOCHS = {"residual": (226564.9 / 15, 512, 81), "unet": (77720.1 / 15, 512, 35), "from-noisy": (151043.3 / 10, 512, 71)}


@pytest.mark.parametrize("name", EPOCHS)
def test_the_first_guess_at_a_denoiser_is_near_what_was_measured(name):
    gflop, steps, seconds = EPOCHS[name]
    row = {"model": name, "seed": 0, "steps": steps, "gflop": gflop, "threads": 1, "side_by_side": 2}
    assert guessed_seconds([{**row, "precision": "bfloat16"}]) == pytest.approx(seconds, rel=0.3)


def test_what_is_no_training_counts_in_the_first_guess():
    row = {"model": "a", "seed": 0, "steps": 0, "gflop": 0.0, "threads": 1, "side_by_side": 1}
    assert guessed_seconds([row, {**row, "other_seconds": 120.0}]) == pytest.approx(120)
