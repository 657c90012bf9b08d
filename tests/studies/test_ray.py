"""The engine of a Ray cluster: the same bytes as here, on two nodes, and after one of them was killed."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from isthmus.cli import run_command
from isthmus.console import Lines
from isthmus.errors import RequestError
from isthmus.studies.plan.context import Request
from isthmus.studies.run import engines
from isthmus.studies.run.scheduler import run_study
from isthmus.studies.spec.parser import parse_study
from tests.studies.test_engines import MODEL, STUDY

WIDTHS = {"a": 2, "b": 3, "c": 4, "d": 5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return tmp_path


def text(epochs):
    models = (MODEL.format(name=name, width=width, epochs=epochs) for name, width in WIDTHS.items())
    return STUDY + "".join(models)


def study(folder, epochs):
    (folder / "small.toml").write_text(text(epochs), "utf-8")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """`here(epochs)`: the bytes of each model's weights, trained in this process, once for each number of epochs."""

    @functools.cache
    def trained(epochs):
        out = tmp_path_factory.mktemp("here")
        run_study(parse_study(text(epochs), "small", "small.toml"), Request(out, threads=1, device="cpu"), Lines())
        return made(out)

    return trained


WORDS = ["run", "small.toml", "--threads", "1", "--device", "cpu"]


def command(*more):
    return [sys.executable, "-W", "ignore", "-m", "isthmus", *WORDS, *more]


def made(out):
    """The bytes of each model's weights."""
    return {path.parent.name: path.read_bytes() for path in sorted(out.glob("small/models/*/model.safetensors"))}


def descendants(pid):
    """The numbers of all processes that a process has started, and that these have."""
    children = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text("utf-8").split()
    ]
    return [*children, *(below for child in children for below in descendants(child))]


def is_running(pid):
    """Whether a process is there, and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    return False


@contextlib.contextmanager
def one_node(n_cores):
    """A cluster on this machine, of one node that has so many cores."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster_utils = pytest.importorskip("ray.cluster_utils")
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": n_cores})
        try:
            yield cluster
        finally:
            cluster.shutdown()


@contextlib.contextmanager
def two_nodes():
    """A cluster of two nodes of one core each; the second one is yielded too."""
    with one_node(1) as cluster:
        yield cluster, cluster.add_node(num_cpus=1)


@pytest.mark.slow
def test_models_of_two_nodes_are_those_of_one_machine_also_when_a_node_is_killed(folder, here):
    study(folder, epochs=1500)
    expected = here(1500)
    assert set(expected) == set(WIDTHS)
    with two_nodes() as (cluster, node):
        on_it = command("--engine", "ray", "--address", cluster.address, "--out", "there")
        with subprocess.Popen(on_it, stderr=subprocess.PIPE, text=True) as run:
            lines = []
            for line in run.stderr:  # to the first news of a second model: then both nodes train
                lines.append(line)
                if len({words[0] for words in map(str.split, lines) if words[1:2] == ["epoch"]}) == 2:
                    break
            cluster.remove_node(node, allow_graceful=False)
            rest = run.stderr.read()
            assert run.wait(300) == 0, "".join(lines) + rest
    assert "or its node, was lost" in rest
    assert "another one takes it up" in rest
    assert made(folder / "there") == expected


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_cluster_of_its_own_is_begun_without_an_address_and_ends_with_the_run(sent, code, folder, here):
    pytest.importorskip("ray")
    study(folder, epochs=1500)
    on_ray = command("--engine", "ray", "--out", "there")
    with subprocess.Popen(on_ray, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        lines = []
        for line in run.stderr:
            lines.append(line)
            if line.split()[1:2] == ["epoch"]:
                break
        started = descendants(run.pid)
        run.send_signal(sent)
        rest = run.stderr.read()
        assert run.wait(60) == code, "".join(lines) + rest
    assert "Traceback" not in rest
    assert rest.splitlines()[-1].startswith("isthmus: interrupted" if code == 130 else "isthmus: terminated")
    assert started
    until = time.monotonic() + 30
    while (left := [pid for pid in started if is_running(pid)]) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left
    if sent == signal.SIGINT:  # a cluster again; it is Ray's start that takes long, so else the machine takes it up
        done = subprocess.run(on_ray, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    else:
        assert run_command([*WORDS, "--out", "there"]) == 0
    assert made(folder / "there") == here(1500)


@pytest.mark.slow
def test_a_run_whose_last_node_has_gone_ends_and_says_so(folder):
    study(folder, epochs=20_000)
    with one_node(0) as cluster:
        node = cluster.add_node(num_cpus=1)
        on_it = command("--engine", "ray", "--address", cluster.address, "--out", "there")
        with subprocess.Popen(on_it, stderr=subprocess.PIPE, text=True) as run:
            for line in run.stderr:
                if line.split()[1:2] == ["epoch"]:  # and not the plan, before which there may be no actor yet
                    break
            cluster.remove_node(node, allow_graceful=False)
            rest = run.stderr.read()
            assert run.wait(120) == 1, rest
    assert "no node of the Ray cluster is left that has 1 core" in rest


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_a_grid_search_on_a_cluster_has_the_scores_of_one_core(kind, monkeypatch):
    example = Path(__file__).parents[2] / "examples" / "grid_search_on_a_cluster.py"
    pytest.importorskip(kind)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = subprocess.run([sys.executable, "-W", "ignore", example, kind], capture_output=True, text=True, timeout=300)
    assert done.stdout.count("network__bottleneck") == 5, done.stderr
    assert "the same as on one core: True" in done.stdout


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core for the tests that leave them as they are: to start them takes as long as a test."""
    with two_nodes() as (started, _):
        yield started


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_bytes(folder, here, cluster):
    study(folder, epochs=600)
    on_it = command("--engine", "ray", "--address", cluster.address, "--out", "there")
    for seconds in np.random.default_rng().uniform(3, 15, 2):
        with subprocess.Popen(on_it, stderr=subprocess.DEVNULL) as run:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(seconds)
            run.kill()
    done = subprocess.run(on_it, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert made(folder / "there") == here(600)
    assert not [*(folder / "there").rglob("*.tmp"), *(folder / "there").rglob("checkpoints")]


@pytest.mark.slow
def test_a_cluster_that_is_not_there_or_too_small_is_named(folder, cluster, capfd):
    study(folder, epochs=2)
    assert run_command([*WORDS, "--engine", "ray", "--address", "127.0.0.1:9"]) == 2
    assert "--address 127.0.0.1:9: no Ray cluster can be used there: Connection refused" in capfd.readouterr().err
    words = [word if word != "1" else "2" for word in command("--engine", "ray", "--address", cluster.address)]
    refused = subprocess.run(words, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "each model has 2 threads, and no node of the cluster has more than 1" in refused.stderr
    # without an address it is not joined, although it runs here: Ray looks for one
    done = subprocess.run(command("--engine", "ray", "--only", "a"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_cluster_without_a_core_for_a_model_is_named(folder):
    study(folder, epochs=2)
    with one_node(n_cores=0) as cluster:
        on_it = command("--engine", "ray", "--address", cluster.address)
        refused = subprocess.run([*on_it, "--only", "b"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "the Ray cluster has no node with a core for a model" in refused.stderr


def test_what_has_to_be_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RequestError, match=r'engine "ray" needs Ray: pip install "isthmus\[ray\]"'):
        engines.engine("ray")
