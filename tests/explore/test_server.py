"""The server's life: its port, its address, its end, and what is missing."""

import http.client
import signal
import socket
import sys
import threading
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from isthmus.cli import run_command
from isthmus.errors import RequestError
from isthmus.explore.serving.guard import is_loopback
from isthmus.explore.serving.server import _listen


@pytest.fixture
def exploring(forked):
    """`isthmus explore` as a process, once it has printed its address: (process, address)."""

    @contextmanager
    def started(run, *options):
        with forked("explore", run, "--no-browser", *options) as process:
            killer = threading.Timer(120, process.kill)
            killer.start()
            try:
                yield process, process.stdout.readline().strip()
            finally:
                killer.cancel()
                process.kill()

    return started


def test_it_serves_until_ctrl_c_and_says_where(exploring, run):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with exploring(run, "--port", str(port)) as (process, address):
            found = int(address.rstrip("/").rsplit(":", 1)[1])
            assert found != port
            with urllib.request.urlopen(address) as response:
                assert b"<title>isthmus explore" in response.read()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0
            assert f"port {port} is taken; this is on {found}" in said
            assert said.rstrip().endswith("stopped")
            assert "Traceback" not in said


def test_a_page_for_other_machines_says_so_and_has_a_token(exploring, run):
    with exploring(run, "--host", "0.0.0.0", "--port", "0") as (process, address):
        assert "?token=" in address
        port = int(address.split("?")[0].rstrip("/").rsplit(":", 1)[1])
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 143
        assert "not encrypted" in said
        assert "resumes from there" not in said  # there is nothing to go on with


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["missing"], "is not a folder"),
        (["."], "holds neither"),
        ([".", "--port", "99999"], "port must be from 0 to 65535"),
        ([".", "--host", "no.such.host.invalid"], "cannot listen"),
        ([".", "--host", "203.0.113.7"], "cannot listen"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, monkeypatch, capsys, options, reason):
    monkeypatch.chdir(tmp_path)
    assert run_command(["explore", *options, "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1


def test_a_missing_extra_names_its_installation(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("isthmus.explore.serving.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run_command(["explore", "."]) == 2
    assert "pip install 'isthmus[explore]'" in capsys.readouterr().err


def test_ports_that_are_all_taken(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr("isthmus.explore.serving.server._TRIES", 1)
        with pytest.raises(RequestError, match="all taken"):
            _listen("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("lab", False),
    ],
)
def test_what_is_this_machine_alone(host, loopback):
    assert is_loopback(host) is loopback


def test_the_page_is_there_before_the_models(exploring, run):
    with exploring(run, "--port", "0") as (process, address):
        with urllib.request.urlopen(address) as response:
            assert b"main.js" in response.read()
        with urllib.request.urlopen(f"{address}api/about") as response:  # which waits for the models
            assert b"deep" in response.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_ctrl_c_does_not_wait_for_what_is_computed(exploring, run):
    with exploring(run, "--port", "0") as (process, address):
        with urllib.request.urlopen(f"{address}api/about"):
            pass
        host, asked = urlsplit(address).netloc, []
        for kind in ("gaussian", "masking", "poisson", "salt-and-pepper"):
            for model in ("prior", "conv", "unpool", "deep", "wide", "pca-4"):  # seconds of work
                asked.append(http.client.HTTPConnection(host, timeout=60))
                asked[-1].request("GET", f"/api/errors?model={model}&kind={kind}")
        with urllib.request.urlopen(f"{address}api/about"):
            pass  # connections are taken in their order: once this one is answered, none of those still waits for that
        process.send_signal(signal.SIGINT)
        with asked[-1].getresponse() as response:
            assert response.status == 503
        for connection in asked:
            connection.close()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
        assert said.split("\n")[-2] == "stopped"
        assert "Traceback" not in said
        assert "ERROR" not in said


def test_models_that_are_all_damaged_end_it_with_a_reason(exploring, own_run):
    for folder in (own_run / "models").iterdir():
        (folder / "model.safetensors").write_bytes(b"cut short")
    with exploring(own_run, "--port", "0") as (process, _):
        _, said = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "no model can be shown" in said.splitlines()[-1]
        assert "Traceback" not in said


def test_a_data_set_that_is_not_here_is_refused_before_there_is_a_page(own_run, tmp_path, monkeypatch, capsys):
    results = own_run / "results.json"
    results.write_text(results.read_text("utf-8").replace('"name": "digits"', '"name": "mnist"', 1), "utf-8")
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    monkeypatch.setattr("isthmus.data.sources.registry.cache_folder", lambda: tmp_path / "none")
    assert run_command(["explore", str(own_run), "--no-browser", "--port", "0"]) == 2
    said = capsys.readouterr()
    assert "isthmus data get mnist" in said.err
    assert not said.out
