"""Gradients that processes of one machine add up in memory which both have mapped: two of them in threads here."""

import fcntl
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from isthmus.training.sharding.shared_memory import Link, SharedVector

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="memory is shared on Linux alone")
HERE = f"/proc/{os.getpid()}/fd/"


def vector(n=7, seed=0):
    made = SharedVector(n, torch.float32)
    made.numbers.copy_(torch.randn(n, generator=torch.Generator().manual_seed(seed)))
    return made


def linked(first, second, seconds=5.0, lift=lambda descriptor: descriptor):
    """Each with the other's numbers, and the pipe that the other writes into. lift: moves what is read from."""
    pipes = [os.pipe(), os.pipe()]
    (opened_by_first, into_second), (opened_by_second, into_first) = (
        mapping._opened(HERE, other._file, pipe[1], other._word)
        for mapping, other, pipe in ((first, second, pipes[1]), (second, first, pipes[0]))
    )
    for _, writing in pipes:
        os.close(writing)
    return (
        Link(first.numbers, opened_by_first, into_second, lift(pipes[0][0]), is_first=True, seconds=seconds),
        Link(second.numbers, opened_by_second, into_first, lift(pipes[1][0]), is_first=False, seconds=seconds),
    )


def add_up(*links):
    with ThreadPoolExecutor() as pool:
        list(pool.map(Link.add_up, links))


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_both_have_the_sum_again_and_again(n):
    first, second = vector(n), vector(n, seed=1)
    links = linked(first, second)
    for times in (1, 2, 4):
        expected = first.numbers + second.numbers
        assert float(expected.abs().sum()) > 0
        add_up(*links)
        assert torch.equal(first.numbers, expected), times
        assert torch.equal(second.numbers, expected), times


def test_a_file_beyond_the_1024th_is_waited_for():
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("no process may have so many files here")

    def lift(descriptor):
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 1500)
        os.close(descriptor)
        return high

    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, 2000), hard))
    try:
        first, second = vector(), vector(seed=1)
        expected = first.numbers + second.numbers
        links = linked(first, second, lift=lift)
        add_up(*links)
        assert torch.equal(first.numbers, expected)
        del links
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def test_who_stays_away_is_waited_for_so_long_and_who_is_gone_is_noticed_at_once():
    link, _other = linked(vector(), vector(), seconds=0.05)
    with pytest.raises(TimeoutError):
        link.add_up()
    link, other = linked(vector(), vector(), seconds=60)
    del other
    start = time.monotonic()
    with pytest.raises(ConnectionError):
        link.add_up()
    assert time.monotonic() - start < 30


def test_a_strangers_file_is_not_read(tmp_path):
    """Where a process of this number is another one's, on another machine or in a container."""
    here, (reading, writing) = vector(), os.pipe()
    fifo, plain = tmp_path / "fifo", tmp_path / "plain"
    os.mkfifo(fifo)
    plain.write_bytes(bytes(here._size) + here._word)
    strangers = [os.open(fifo, os.O_RDWR), os.open(plain, os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY), 10**6, -1]
    try:
        assert [here._opened(HERE, file, writing, here._word) for file in strangers] == [None] * 5
        assert here._opened(HERE, vector()._file, writing, here._word) is None  # of a former fit
        numbers, pipe = here._opened(HERE, here._file, writing, here._word)
        os.close(pipe)
        assert numbers.data_ptr() != here.numbers.data_ptr()
        assert torch.equal(numbers, here.numbers)
    finally:
        for descriptor in (*strangers[:3], reading, writing):
            os.close(descriptor)


@pytest.mark.parametrize("failing", ["os.memfd_create", "os.pwrite", "torch.from_file"])
def test_where_nothing_can_be_shared_it_is_a_vector_all_the_same_and_no_partner_maps_another(failing, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError if failing == "torch.from_file" else OSError

    with monkeypatch.context() as patch:
        patch.setattr(failing, refuse)
        alone = SharedVector(5, torch.float32)
    assert torch.equal(alone.numbers, torch.zeros(5))
    reading, writing = os.pipe()
    try:
        assert vector(5)._opened(HERE, alone._file, writing, alone._word) is None
    finally:
        os.close(reading)
        os.close(writing)


def test_what_it_opens_it_closes():
    before = len(os.listdir("/proc/self/fd"))
    links = linked(vector(), vector())
    assert len(os.listdir("/proc/self/fd")) > before
    del links
    assert len(os.listdir("/proc/self/fd")) == before
