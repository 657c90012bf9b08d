"""The program for a GPU: it names what is missing, outlives parts that crash and hang, and its JSON is always whole."""

import json
import signal
import subprocess
import sys
import time
from argparse import Namespace

import pytest
import torch

from benchmarks import gpu, gpu_parts
from benchmarks.rival_loops import CASES
from isthmus.studies.spec.parser import catalog

# A part whose items do what they are called, in place of `gpu_parts`
CHILD = """
import json, os, signal, sys, time
items = json.loads(sys.argv[-1])
def send(**message): print(json.dumps(message), flush=True)
def where(*_):
    print("where it hung", file=sys.stderr, flush=True)
    os._exit(1)
if sys.argv[1] == "tests":
    done, items = items, ["good", "crash", "better"]
    send(items=items)
    items = [item for item in items if item not in done]
for item in items:
    send(item=item)
    if item.startswith("crash"):
        print("Fatal: an illegal memory access", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if item.startswith("hang"):
        signal.signal(signal.SIGTERM, where)
        send(item=item, partial=1)
        time.sleep(60)
    if item.startswith("spoil"):
        send(item=item, done=True, error="CUDA error")
        os._exit(3)
    send(item=item, done=True, process=os.getpid())
"""


class Replaced(gpu.Run):
    """Of children that are not `gpu_parts`."""

    def command(self, part, seconds, items):
        return [sys.executable, "-c", CHILD, part, json.dumps(items)]


@pytest.fixture
def run(tmp_path):
    options = Namespace(device="cpu", minutes=1, images=64, json=tmp_path / "gpu.json")
    return Replaced(options, gpu.Record(options.json, {"parts": {}}), tmp_path)


def test_a_bare_python_is_told_all_that_it_lacks():
    done = subprocess.run([sys.executable, "-I", "-S", gpu.__file__], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"benchmarks/gpu.sh: {sys.executable} lacks {', '.join(gpu.NEEDED.values())}\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_machine_without_cuda_is_told_so(tmp_path):
    done = subprocess.run(["bash", "benchmarks/gpu.sh"], capture_output=True, text=True, env={"PYTHON": sys.executable})
    assert (done.returncode, done.stderr) == (1, "benchmarks/gpu.sh: torch sees no CUDA device\n")


def test_what_it_is_to_do_is_there():
    assert set(gpu.STUDIES) < set(catalog())
    assert {*gpu.MODELS, "denoiser-bfloat16"} == {*CASES}
    assert {part.name for part in (*gpu.PARTS, *gpu.PHOTOGRAPH_PARTS)} <= {"tests", *gpu_parts.ITEMS}
    assert json.loads(gpu.ROWS[0]) == ["dense-64", 64, "float32"]
    assert gpu._SPOILT == gpu_parts.SPOILT
    assert all((gpu.ROOT / path).is_file() for path in gpu_parts.TESTS)


def test_items_that_crash_hang_and_spoil_their_process_cost_only_themselves(run, capsys):
    part = gpu.Part("steps", ("good", "crash", "hang", "better", "spoil", "best"), 1, 1)
    done = run.part(part)
    items = done["items"]
    assert items["crash"]["error"].splitlines()[:2] == [
        "crashed: ended by signal 11",
        "Fatal: an illegal memory access",
    ]
    assert items["hang"]["error"].splitlines() == ["hung: silent for 1 s", "where it hung"]
    assert items["hang"]["partial"] == 1
    assert items["spoil"]["error"] == "CUDA error"
    assert items["good"]["process"] != items["better"]["process"] != items["best"]["process"]
    assert (done["left_out"], done["errors"]) == ([], [])
    assert [error.partition(":")[0] for error in gpu.errors_of(done, part)] == ["crash", "hang", "spoil"]
    assert "an illegal memory access" in capsys.readouterr().out
    assert json.loads(run.options.json.read_text()) == run.record.facts


def test_a_test_that_crashes_is_not_run_again_and_the_others_are(run):
    part = gpu.Part("tests", (), 5, 1, is_all=True)
    done = run.part(part)
    assert list(done["items"]) == ["good", "crash", "better"]
    assert len(gpu.errors_of(done, part)) == 1


def test_what_there_is_no_time_for_is_named_and_only_of_tests_a_failure(run):
    for is_all in (False, True):
        part = gpu.Part("steps", ("good", "hang", "better"), 50, 0, is_all=is_all, beyond=1.5)
        run.begin = time.monotonic()
        done = run.part(part)
        assert done["left_out"] == ["better"]
        assert bool(gpu.errors_of(done, part)) is is_all


def test_a_process_that_cannot_begin_is_not_started_for_ever(run, monkeypatch):
    monkeypatch.setattr(run, "command", lambda *_: [sys.executable, "-c", "raise SystemExit('no torch')"])
    part = gpu.Part("steps", ("good", "better"), 5, 1)
    done = run.part(part)
    assert [error.splitlines() for error in done["errors"]] == 2 * [["crashed: ended with status 1", "no torch"]]
    assert gpu.errors_of(done, part)


@pytest.mark.parametrize("sent", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_killed_it_leaves_a_whole_json(sent, tmp_path):
    path = tmp_path / "gpu.json"
    command = [
        sys.executable,
        gpu.__file__,
        "--device",
        "cpu",
        "--only",
        "steps",
        "--images",
        "64",
        "--json",
        str(path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            if line.startswith("steps"):
                break
        process.send_signal(sent)
        process.stdout.read()
    facts = json.loads(path.read_text())
    assert not facts["complete"]
    assert next(iter(facts["parts"]["steps"]["items"].values()))["rounds"]
    assert [each.name for each in tmp_path.iterdir()] == ["gpu.json"]
    if sent == signal.SIGTERM:
        assert process.returncode == 143


def test_tests_are_run_in_the_process_and_a_failure_has_its_traceback(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.cuda\n@pytest.mark.parametrize('n', [0, 1])\n"
        "def test_it(n):\n    assert n == 0, 'no'\n"
        "def test_of_something_else(): raise SystemExit\n"
    )
    command = [sys.executable, "-m", "benchmarks.gpu_parts", "tests", "--device=cpu", f"--tests={tmp_path}", "[]"]
    done = subprocess.run(command, cwd=gpu.ROOT, capture_output=True, text=True)
    collected, *messages = map(json.loads, done.stdout.splitlines())
    assert [item.partition("::")[2] for item in collected["items"]] == ["test_it[0]", "test_it[1]"]
    ends = [message for message in messages if message.get("done")]
    assert [end["outcome"] for end in ends] == ["passed", "failed"]
    assert "AssertionError: no" in ends[1]["error"]
    assert done.returncode == 0


@pytest.mark.parametrize("model", ["dense-64", "variational-30"])
def test_both_are_timed_and_come_to_the_same_loss(model, monkeypatch):
    monkeypatch.setattr(gpu_parts, "_ROUNDS", 2)
    known = {}
    options = Namespace(device="cpu", images=256)
    gpu_parts.rounds_of(options, json.dumps([model, 64, "float32"]), "torch", lambda **more: known.update(more))
    assert known["steps"] == 4
    assert [set(seconds) for seconds in known["rounds"]] == 2 * [{"isthmus", "torch"}]
    assert all(value > 0 for seconds in known["rounds"] for value in seconds.values())


def test_the_table_has_the_card_and_the_ratio_of_each_round():
    steps, compiled = [{"isthmus": 1.0, "torch": 3.0}, {"isthmus": 2.0, "torch": 4.0}], [{"isthmus": 1.0}]
    compiled[0]["torch.compile"] = 0.5
    parts = {
        "steps": {"items": {gpu.ROWS[0]: {"steps": 30, "rounds": steps}}, "left_out": []},
        "compiled": {
            "items": {gpu.ROWS[0]: {"steps": 30, "rounds": compiled, "compile_seconds": 7.0}},
            "left_out": [gpu.ROWS[1]],
        },
    }
    facts = {"machine": {"name": "A card"}, "parts": parts}
    head, _, row = gpu.table(facts)
    assert head.startswith("| A card | batch |")
    assert row == "| dense-64 | 64 | float32 | 20 | 9 | 60 | 2.50 (2.00 to 3.00) | 0.50 (0.50 to 0.50) |"
    assert list(gpu.conclusion(facts)) == [
        "1 of 1 rows at least 2 times as fast as eager torch, of 26 in all.",
        "torch.compile took at most 7 s a row, not counted.",
        f"No time was left for 1 of compiled, from {gpu.ROWS[1]} on.",
    ]


@pytest.mark.slow
def test_seconds_of_studies_are_those_of_training(tmp_path, monkeypatch):
    """Of a study that needs no data, and of some of its models, in place of a published one."""
    command = [sys.executable, "-m", "isthmus", "run", "digits", "--quick", "--only=dense-8", "--out", str(tmp_path)]
    known = {}
    popen = subprocess.Popen
    monkeypatch.setattr(gpu_parts.subprocess, "Popen", lambda _, **more: popen(command, **more))
    gpu_parts.run_study(Namespace(device="cpu", work=str(tmp_path)), "digits", lambda **more: known.update(more))
    results = json.loads((tmp_path / "digits" / "results.json").read_text())
    seconds = [row["seconds"] for row in results["timings"] if row["phase"] == "fit" and row["epochs"] is not None]
    assert known["training_seconds"] == sum(seconds) > 0
