"""Benchmarks are programs: they set threads and cores for all of their process, which is the tests' here."""

import os

import pytest
import torch


@pytest.fixture(autouse=True)
def threads_and_cores_given_back(process_as_it_was):
    n_threads, cores = torch.get_num_threads(), getattr(os, "sched_getaffinity", lambda _: None)(0)
    yield
    torch.set_num_threads(n_threads)
    if cores:
        os.sched_setaffinity(0, cores)
