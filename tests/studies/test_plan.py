"""The plan of a run: what trains at once, and with how many threads."""

from __future__ import annotations

import pytest

from isthmus.studies.plan import Work, chains, how_many_at_once, makespan


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
    assert [[work.model for work in one] for one in chains(chain)] == [["a", "b", "c"]]
    assert how_many_at_once(chain, 2, 0) == 1
    fan = works(100, 100, 100, of=(None, None, "a"))
    assert [[work.model for work in one] for one in chains(fan)] == [["a", "c"], ["b"]]


def test_each_seed_is_a_chain_of_its_own():
    twice = [Work(name, seed, of) for seed in (0, 1) for name, of in (("a", None), ("b", "a"))]
    assert [{work.seed for work in chain} for chain in chains(twice)] == [{0}, {1}]


def test_images_that_would_not_fit_twice_are_held_once():
    many = works(100, 100, 100, 100)
    assert how_many_at_once(many, 2, 1 << 30) == 2
    assert how_many_at_once(many, 2, 3 << 30) == 1


def test_makespan_of_the_longest_first():
    assert makespan(works(1, 1, 4, 2), 2, 1) == pytest.approx(4)
    assert makespan(works(1, 1, 4, 2), 1, 1) == pytest.approx(8)
    assert makespan([], 2, 1) == 0
