"""The parts of a step are timed once each, and nothing stays watched."""

import time

import numpy as np
import pytest
import torch

from benchmarks import step_parts
from isthmus.networks.accelerators import dense


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by what `clock(seconds)` says."""
    now = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_what_a_function_calls_is_not_its_own_time(clock):
    watch = step_parts.Stopwatch()
    inner = watch.watched(clock, "inner")

    def call(seconds):
        clock(1.0)
        inner(seconds)
        inner(seconds)

    outer = watch.watched(call, lambda seconds: f"outer {seconds}")
    outer(4.0)
    outer(8.0)
    assert watch.seconds == {"inner": 24.0, "outer 4.0": 1.0, "outer 8.0": 1.0}


def test_batches_are_all_there_and_timed(clock):
    def batches(n):
        for i in range(n):
            clock(2.0)
            yield i

    watch = step_parts.Stopwatch()
    each = []
    for i in watch.gathered(batches)(3):
        clock(5.0)  # the step
        each.append(i)
    assert each == [0, 1, 2]
    assert watch.seconds == {step_parts.BATCHES: 6.0}


def test_the_parts_are_of_a_step_and_left_as_they_were():
    watched = [
        (dense, "affine"),
        (dense, "put_gradient"),
        (dense, "IN_PLACE"),
        (torch, "sum"),
    ]
    before = [getattr(owner, name) for owner, name in watched]
    torch.set_num_threads(1)
    x = np.random.default_rng(0).random((512, 784), np.float32)
    times = step_parts.medians([step_parts.of_isthmus("dense-64", x)() for _ in range(2)])
    assert [getattr(owner, name) for owner, name in watched] == before
    parts = set(times) - {step_parts.LEFT, step_parts.STEP}
    assert parts == set(step_parts.ROWS) - {step_parts.LEFT, step_parts.STEP}
    assert all(times[part] > 0 for part in parts)
    assert sum(times[part] for part in parts) + times[step_parts.LEFT] == pytest.approx(times[step_parts.STEP])


def test_a_table_leaves_empty_what_is_not_measured():
    lines = step_parts.table({"dense-64": {"isthmus": {step_parts.ADAM: 1234.4}, "alone": {}}})
    assert f"| {step_parts.ADAM} | 1,234 |  |" in lines
    assert len(lines) == 2 + len(step_parts.ROWS)
