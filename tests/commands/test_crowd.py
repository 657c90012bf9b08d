"""A training beside other programs says so, once, with the way out."""

from types import SimpleNamespace

import pytest

from isthmus.commands.fitting import crowd
from isthmus.commands.fitting.crowd import WatchedProgress


class Lines:
    def __init__(self):
        self.epochs, self.notes = [], []

    def epoch(self, name, row, epochs):
        self.epochs.append(row.epoch)

    def note(self, sentence):
        self.notes.append(sentence)


@pytest.mark.parametrize(("threads", "share", "said"), [(2, 0.4, 1), (2, 2.0, 0), (2, 1.0, 0), (1, 0.4, 0)], ids=str)
def test_it_is_said_once_where_the_threads_had_less_than_a_core(threads, share, said, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(crowd.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(crowd.time, "process_time", lambda: share * clock.now)
    lines = Lines()
    watched = WatchedProgress(lines, threads)
    for epoch in range(1, 40):
        clock.now += 1.0
        watched.epoch("m", SimpleNamespace(epoch=epoch), 40)
        assert not lines.notes or epoch >= 10
    assert lines.epochs == list(range(1, 40))
    assert len(lines.notes) == said
    assert all("had 0.40 of one lately, and 2 threads" in one and "--threads 1" in one for one in lines.notes)
