"""Which place may run a task: one that was lost goes to another node as long as there is one."""

from __future__ import annotations

import threading

import pytest

from isthmus.studies.run.engines import Task
from isthmus.studies.run.engines.task_queue import TaskQueue

A, B = (Task("s", "", {}, [1, 1], [], name, 3) for name in "ab")


@pytest.fixture
def waiting():
    """Let a place wait for its next task; gives a function that waits for that."""

    def begin(tasks, place):
        given = []
        thread = threading.Thread(target=lambda: given.append(tasks.next_for(place)), daemon=True)
        thread.start()

        def end(seconds=10.0):
            thread.join(seconds)
            return given[0] if given else "waits"

        return end

    return begin


def test_tasks_come_in_order():
    tasks = TaskQueue({0: "x", 1: "y"})
    tasks.put(A)
    tasks.put(B)
    assert [tasks.next_for(1), tasks.next_for(0)] == [A, B]


def test_a_lost_task_goes_to_another_node_and_its_place_takes_the_next_one(waiting):
    tasks = TaskQueue({0: "x", 1: "x", 2: "y"})
    tasks.put(A)
    assert tasks.next_for(0) == A
    tasks.note_lost(A, 0)
    tasks.put(A)
    same_node = waiting(tasks, 1)
    assert same_node(0.1) == "waits"
    tasks.put(B)
    assert same_node() == B
    assert waiting(tasks, 2)() == A


@pytest.mark.parametrize("how", ["leave", "retire"])
def test_where_no_other_node_is_left_it_comes_back(how, waiting):
    tasks = TaskQueue({0: "x", 1: "y"})
    tasks.note_lost(A, 0)
    tasks.put(A)
    place = waiting(tasks, 0)
    assert place(0.1) == "waits"
    getattr(tasks, how)(1)
    assert place() == A


def test_the_last_place_does_not_retire_and_a_closed_queue_has_nothing(waiting):
    tasks = TaskQueue({0: "x", 1: "y"})
    assert tasks.retire(0)
    assert not tasks.retire(1)
    place = waiting(tasks, 1)
    tasks.close()
    assert place() is None


def test_a_node_that_comes_later_is_waited_for(waiting):
    tasks = TaskQueue({})
    tasks.join(0, "x")
    tasks.join(1, "y")
    tasks.note_lost(A, 0)
    tasks.put(A)
    place = waiting(tasks, 0)
    assert place(0.1) == "waits"
    assert tasks.next_for(1) == A
