"""Models go to a hub and come back, over HTTP, by huggingface_hub itself; the hub is a small one on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # read when it is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
huggingface_hub = pytest.importorskip("huggingface_hub")

from isthmus import Autoencoder, Dense, load, save  # noqa: E402
from isthmus.cli import run_command  # noqa: E402
from isthmus.commands.interchange.model_card import card_of  # noqa: E402

# huggingface_hub's own, where it sends a large file
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")
TOKEN, COMMIT = "hf_verysecrettoken", "1" * 40


class Hub(BaseHTTPRequestHandler):
    """The few answers that a model needs. Its repositories, commits and faults are of the server."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", kind="application/json", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        hub, path = self.server, self.path.partition("?")[0]
        if hub.fault is not None:
            return self.answer(hub.fault, {"error": f"secret of the server, {self.headers.get('Authorization')}"})
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.command == "POST" and not is_known:
            return self.answer(401, {"error": "no"})
        if path == "/api/repos/create":
            asked_for = json.loads(body)
            name = f"{asked_for['organization']}/{asked_for['name']}"
            is_new = name not in hub.repositories
            hub.repositories.setdefault(name, {".gitattributes": b""})
            if is_new:
                hub.private[name] = asked_for.get("private") or asked_for.get("visibility") == "private"
            return self.answer(200 if is_new else 409, {"url": f"{hub.address}/{name}", "name": name, "error": "there"})
        if path == "/api/validate-yaml":  # of the card
            return self.answer(200, {"errors": [], "warnings": []})
        if path.startswith("/large/"):  # where a batch of large files sends each
            if hub.refuses_large:
                return self.answer(507, {})
            assert hashlib.sha256(body).hexdigest() == path.removeprefix("/large/")
            hub.large[path.removeprefix("/large/")] = body
            return self.answer(200, {})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            upload = {"actions": {"upload": {"href": f"{hub.address}/large/OID", "header": {}}}}
            answers = [{**each, **json.loads(json.dumps(upload).replace("OID", each["oid"]))} for each in objects]
            return self.answer(200, {"transfer": "basic", "objects": answers})
        match = re.match(r"/api/models/(\w+/[\w-]+)(?:/(\w+)/(\w+))?", path) or re.match(
            r"/(\w+/[\w-]+)/(resolve)/(\w+)/(.*)", path
        )
        name, verb, _, *rest = *match.groups(), None
        files = hub.repositories.get(name)
        if files is None or (hub.private[name] and not is_known):
            return self.answer(401 if not is_known else 404, {}, X_Error_Code="RepoNotFound")
        if verb == "preupload":
            wanted = [each["path"] for each in json.loads(body)["files"]]
            modes = {each: "lfs" if each.endswith(".safetensors") else "regular" for each in wanted}
            same = {"shouldIgnore": False, "oid": None}
            return self.answer(200, {"files": [{"path": each, "uploadMode": modes[each], **same} for each in wanted]})
        if verb == "commit":
            changes = [json.loads(line) for line in body.splitlines()]
            for change in changes:
                value = change["value"]
                if change["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif change["key"] == "lfsFile":
                    files[value["path"]] = hub.large[value["oid"]]
                elif change["key"] == "deletedFile":
                    del files[value["path"]]
            hub.commits.append([change["key"] for change in changes])
            done = {"commitOid": COMMIT, "commitUrl": f"{hub.address}/{name}/commit/{COMMIT}", "success": True}
            return self.answer(200, done)
        if verb == "resolve":
            content = files.get(rest[0])
            if content is None:
                return self.answer(404, {}, X_Error_Code="EntryNotFound")
            tag = hashlib.sha1(content).hexdigest()
            return self.answer(200, content, "application/octet-stream", X_Repo_Commit=COMMIT, ETag=f'"{tag}"')
        facts = {"id": name, "modelId": name, "sha": COMMIT, "private": hub.private[name], "tags": []}
        return self.answer(200, {**facts, "siblings": [{"rfilename": each} for each in files]})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    server.repositories, server.private, server.commits, server.fault, server.large = {}, {}, [], None, {}
    server.refuses_large = False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "small"
    assert run_command(["fit", "digits", "-o", str(folder), "--epochs", "2", "--threads", "1"]) == 0
    return folder


def test_a_model_goes_and_comes_back_with_the_same_bits(hub, model, capsys):
    assert run_command(["push", str(model), "me/small", "--private"]) == 0
    output = capsys.readouterr()
    assert output.out == f"{hub.address}/me/small\n"
    assert hub.private == {"me/small": True}
    assert len(hub.commits) == 1, "one commit: nobody sees half of it"
    files = hub.repositories["me/small"]
    names = {"model.safetensors", "config.json", "history.jsonl", "preview.png"}
    assert set(files) == {*names, "README.md", ".gitattributes"}
    assert run_command(["pull", "me/small", "-o", "again"]) == 0
    assert {path.name for path in Path("again").iterdir()} == {*names, "README.md"}
    assert all(Path("again", name).read_bytes() == (model / name).read_bytes() for name in names)
    X = np.random.default_rng(0).random((5, 1, 8, 8), np.float32)
    np.testing.assert_array_equal(load("again").transform(X), load(model).transform(X))
    assert TOKEN not in output.out + output.err + capsys.readouterr().err
    load("again").save("again")  # a README is no reason not to replace a model


def test_the_card_is_written_from_results(hub, model, capsys):
    assert run_command(["push", str(model), "me/small", "--card"]) == 0
    card = capsys.readouterr().out
    assert hub.repositories == {}
    errors = json.loads((model / "config.json").read_text())["extra"]["errors"]
    (mse,) = [row["mse"] for row in errors["rows"] if row["name"] == "this model, 8 numbers"]
    low, high = mse["ci95"]
    assert f"| {mse['value']:.6f} | {low:.6f} to {high:.6f} |" in card
    assert "| PCA, 8 numbers |" in card
    assert "1,149 images of 1×8×8" in card
    assert card.startswith("---\nlibrary_name: isthmus\n")
    program = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    assert 'load("small")' in program
    compile(program, "card", "exec")


def test_a_model_made_in_python_has_a_card_that_says_what_was_not_measured(hub, tmp_path, capsys):
    X = np.random.default_rng(0).random((40, 6), np.float32)
    Autoencoder(Dense(bottleneck=2), epochs=1, random_state=0).fit(X).save("rows")
    assert run_command(["push", "rows", "me/rows", "--card"]) == 0
    card = capsys.readouterr().out
    assert "were not measured" in card
    assert "40 samples of 6 numbers" in card


def test_a_card_says_where_pca_was_kept(model, tmp_path, capsys):
    pca = "its weights are PCA's solution of them, which no epoch of the training was better than"
    X = np.random.default_rng(0).random((60, 16), np.float32)
    kept = Autoencoder(Dense(bottleneck=4, code_activation="linear"), recipe="fast", epochs=1, random_state=0).fit(X)
    assert kept.history_.kept_start
    kept.save(tmp_path / "kept")
    assert pca in card_of(tmp_path / "kept", "me/kept")
    assert pca not in card_of(model, "me/small")


def test_a_model_of_a_study_has_its_errors_beside_the_others(hub, tmp_path, capsys):
    X = np.random.default_rng(0).random((40, 6), np.float32)
    folder = tmp_path / "run" / "models" / "b"
    folder.parent.mkdir(parents=True)
    model = Autoencoder(Dense(bottleneck=2), epochs=1, random_state=0).fit(X)
    save(model, folder, extra={"timing": {"model": "b", "seed": 1}})

    def rows(model, seed, mse, **other):
        known = {"model": model, "seed": seed, "split": "test", "corruption": None, "seen": False, "n": 9, **other}
        pairs = {"mse": (mse, [mse - 0.01, mse + 0.01]), "psnr": (20.0, None)}
        return [{**known, "metric": metric, "value": value, "ci95": ends} for metric, (value, ends) in pairs.items()]

    of_others = [*rows("b", 0, 0.5), *rows("c", 1, 0.4, seen=True), *rows("b", 1, 0.9, corruption="gaussian(0.5)")]
    results = {"title": "Which?", "rows": [*rows("a", 1, 0.03), *rows("b", 1, 0.02), *of_others]}
    (tmp_path / "run" / "results.json").write_text(json.dumps(results))
    assert run_command(["push", str(folder), "me/b", "--card"]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert table[0] == '| on 9 test images of the study "Which?" | MSE | 95 % interval | PSNR, dB |'
    assert table[2:] == [
        "| b | 0.020000 | 0.010000 to 0.030000 | 20.00 |",
        "| a | 0.030000 | 0.020000 to 0.040000 | 20.00 |",
    ]


def test_a_readme_of_ones_own_is_sent_and_what_is_gone_is_taken_away(hub, model, tmp_path):
    assert run_command(["push", str(model), "me/small"]) == 0
    mine = shutil.copytree(model, tmp_path / "mine")
    (mine / "preview.png").unlink()
    (mine / "README.md").write_text("my words")
    assert run_command(["push", str(mine), "me/small"]) == 0
    files = hub.repositories["me/small"]
    assert files["README.md"] == b"my words"
    assert "preview.png" not in files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "me/other", "-o", "x"], "there is no me/other, or you may not see it"),
        (["pull", "me/pickled", "-o", "x"], "me/pickled has no config.json, so it is no model of isthmus"),
        (
            ["pull", "me/cut", "-o", "x"],
            "me/cut does not hold a whole model: model.safetensors was changed or cut",
        ),
        (["pull", "a/b/c", "-o", "x"], "'a/b/c' is not the name of a repository; it must be like USER/NAME"),
        (["push", "MODEL", "me/pickled"], "me/pickled holds weights.pkl, which no model of isthmus has"),
        (["push", "MODEL", "me/cut", "--private"], "me/cut is there already, and public"),
        (["push", "nothing", "me/new"], "nothing holds no model"),
        (["pull", "me/cut", "-o", "."], "holds"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(hub, model, tmp_path, capsys, arguments, message):
    hub.repositories |= {
        "me/pickled": {"weights.pkl": b"x"},
        "me/cut": {"model.safetensors": b"x", "config.json": (model / "config.json").read_bytes()},
    }
    hub.private |= dict.fromkeys(hub.repositories, False)
    (tmp_path / "other").write_text("")
    arguments = [str(model) if each == "MODEL" else each for each in arguments]
    assert run_command(arguments) == 2
    assert message in capsys.readouterr().err
    assert not Path("x").exists()
    assert {path.name for path in tmp_path.iterdir()} - {"hf"} == {"other"}
    assert not hub.commits


@pytest.mark.parametrize(("fault", "code", "message"), [(403, 2, "you may not"), (500, 1, "(HTTP 500)"), (418, 1, "8")])
@pytest.mark.parametrize("arguments", [["push", "MODEL", "me/small"], ["pull", "me/small", "-o", "x"]])
def test_a_hub_that_fails_is_said_in_our_words(hub, model, capsys, monkeypatch, arguments, fault, code, message):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's tries
    hub.fault = fault
    assert run_command([str(model) if each == "MODEL" else each for each in arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "secret" not in error
    assert not Path("x").exists()


def test_a_large_file_that_fails_is_said_too_and_nothing_is_committed(hub, model, capsys, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.refuses_large = True
    assert run_command(["push", str(model), "me/small"]) == 1
    assert "the hub failed to write to me/small (HTTP 507)" in capsys.readouterr().err
    assert not hub.commits


def test_without_a_token_it_says_how_to_log_in(hub, model, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert run_command(["push", str(model), "me/small"]) == 2
    assert "hf auth login" in capsys.readouterr().err


def test_without_a_network_it_says_so(hub, model, capsys, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert run_command(["pull", "me/small", "-o", "x"]) == 1
    assert "the hub cannot be reached" in capsys.readouterr().err


def test_a_missing_package_is_named(hub, model, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert run_command(["pull", "me/small", "-o", "x"]) == 2
    assert "needs huggingface_hub: pip install 'isthmus[hub]'" in capsys.readouterr().err


def test_a_model_that_is_there_is_replaced_only_if_that_is_meant(hub, model, capsys):
    assert run_command(["push", str(model), "me/small"]) == 0
    assert run_command(["pull", "me/small", "-o", "x"]) == 0
    assert run_command(["pull", "me/small", "-o", "x"]) == 2
    assert "x already exists" in capsys.readouterr().err
    assert run_command(["pull", "me/small", "-o", "x", "--force"]) == 0
