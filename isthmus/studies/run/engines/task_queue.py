"""Tasks that wait for a worker, and which worker may have which: one that was lost goes to another node."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from isthmus.studies.run.engines.engine import Task


class TaskQueue:
    """Tasks in the order in which they came, for places that run one after the other; used from several threads.

    nodes: the node of each place that is there from the beginning. Places of one node are lost together.
    """

    def __init__(self, nodes: Mapping[int, str]) -> None:
        self._changed = threading.Condition()
        self._tasks: list[Task] = []
        self._nodes = dict(nodes)
        self._lost_at: dict[tuple[str, str, int], set[str]] = {}  # nodes, by study, model and seed
        self._is_closed = False

    def put(self, task: Task) -> None:
        """Add a task, which may have been lost before."""
        with self._changed:
            self._tasks.append(task)
            self._changed.notify_all()

    def next_for(self, place: int) -> Task | None:
        """Wait for a task that this place may run; None once the queue is closed."""
        with self._changed:
            while not self._is_closed:
                for i, task in enumerate(self._tasks):
                    if self._may_run(place, task):
                        return self._tasks.pop(i)
                self._changed.wait()
            return None

    def _may_run(self, place: int, task: Task) -> bool:
        """Whether the task was not lost at the place's node, or at all that there are."""
        lost_at = self._lost_at.get(_key(task), set())
        return self._nodes.get(place) not in lost_at or lost_at.issuperset(self._nodes.values())

    def note_lost(self, task: Task, place: int) -> None:
        """Have a task run elsewhere when it is put in again."""
        with self._changed:
            self._lost_at.setdefault(_key(task), set()).add(self._nodes.get(place, ""))

    def join(self, place: int, node: str) -> None:
        """Count on a place from now on."""
        with self._changed:
            self._nodes[place] = node
            self._changed.notify_all()

    def leave(self, place: int) -> None:
        """Count on a place no more, so that what waits for it is run by others."""
        with self._changed:
            self._nodes.pop(place, None)
            self._changed.notify_all()

    def retire(self, place: int) -> bool:
        """`leave` unless it is the last place; whether it has left."""
        with self._changed:
            if len(self._nodes) > 1:
                self.leave(place)
            return place not in self._nodes

    def close(self) -> None:
        """End all waiting."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


def _key(task: Task) -> tuple[str, str, int]:
    return task.study, task.model, task.seed
