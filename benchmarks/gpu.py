"""Test isthmus on a GPU, time its steps and five studies there, or train the denoiser of photographs.

    ISTHMUS_DATA=... benchmarks/gpu.sh [--photographs] [--device cuda] [--minutes 8] [--images N] [--json FILE]

It needs no installation and no network. Of each part in its turn:

- tests: what a GPU computes against what the CPU does, by the tests marked `cuda`;
- steps: of each model, in float32 and bfloat16, at batches of 64 and 1,024, isthmus' and torch's eager loop in turns
  (`rival_loops`; of MNIST, or of noise where there is none, for which steps take as long), and of the denoiser;
- compiled: the same against torch.compile, where there is a compiler; how long it compiles is said, and not counted;
- studies: the five published ones, as `isthmus run` runs them; on a CPU with --quick.

With --photographs instead: README's denoiser, of train400, trained for at most nine minutes (--minutes), then BSD68.

A CUDA error spoils its whole process, and a kernel may never end. So each part has a process of its own, `gpu_parts`,
which says of each item when it begins and what came of it. One that crashes, or is silent for longer than an item
may be, is ended and costs that item: the end of its traceback is printed and in the JSON, and a new process goes on
with the next one. The JSON (build/gpu.json) is replaced whole with everything that comes. The status is 0 if all tests
ran and nothing failed; what no time was left for is named. The last thing that is printed is Markdown, to be copied.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# What isthmus imports for a training, and what its tests do, by the name that pip knows.
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "safetensors": "safetensors",
    "threadpoolctl": "threadpoolctl",
    "rich": "rich",
    "pytest": "pytest",
}
IMAGES = 49_152  # whole batches of both sizes
DENOISER = "denoiser"  # of photographs, whose batch is 16
MODELS = ("dense-64", "dense-256", "deep-30", "sparse-1024", "conv-unpool", "variational-30", DENOISER)
# The most telling ones first
CASES = [(batch, precision) for batch in (64, 1024) for precision in ("float32", "bfloat16")]
ROWS = [
    json.dumps([model, 16 if model == DENOISER else batch, precision])
    for batch, precision in CASES
    for model in MODELS
    if model != DENOISER or batch == 64
]
STUDIES = ("compress", "lab", "sparse-denoise", "imaging", "prior-denoise")
GOAL_RATIO, GOAL_SECONDS = 2.0, 60.0  # of a row over eager torch; of the five studies' trainings
_SPOILT = 3  # the status of a process whose device computes no more, after which another goes on
_TAIL = 3000  # letters of what a process that failed has printed


@dataclass(frozen=True)
class Part:
    """What one process after the other does. most: seconds that an item may be silent. is_all: whether one for which
    there is no time is a failure. share, beyond: it ends after this share of the minutes, and so many seconds.
    """

    name: str
    items: tuple[str, ...]
    most: float
    share: float
    is_all: bool = False
    beyond: float = 0.0


PARTS = (
    Part("tests", (), 60, 0.3, is_all=True),  # the process says which
    Part("steps", tuple(ROWS), 45, 0.5),
    Part("studies", STUDIES, 240, 0.8),
    Part("compiled", tuple(ROWS), 90, 0.97),
)
PHOTOGRAPH_PARTS = (Part("photographs", ("training", "bsd68"), 120, 1.0, is_all=True, beyond=300),)


def missing() -> list[str]:
    """The packages that are needed and not there."""
    return [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]


class Record:
    """All that is known so far, and the file that has it."""

    def __init__(self, path: Path | None, facts: dict[str, Any]) -> None:
        self.path, self.facts = path, facts

    def write(self) -> None:
        """Replace the file: who reads it, or kills this program, finds it whole."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        beside.write_text(json.dumps(self.facts, indent=1) + "\n", "utf-8")
        os.replace(beside, self.path)


class Child:
    """A process that does a part's items. Its messages are lines of JSON; all else that it prints is in a file."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.printed = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        # a group of its own, so that what it started itself ends with it
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.printed,
            start_new_session=True,
        )
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self.lines.put(line)
        self.lines.put(None)

    def message(self, seconds: float) -> dict[str, Any] | None:
        """The next one; None where there will be no other. Raises TimeoutError after so many seconds."""
        try:
            line = self.lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise TimeoutError from None
        if line is None:
            return None
        try:
            message = json.loads(line)
        except ValueError:  # half a line, of a process that was ended
            return None
        return message if isinstance(message, dict) else None

    def end(self) -> str:
        """End it, and say what it printed last. What hangs says by SIGTERM where."""
        for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)
            # one that waits in the driver may outlive even this, and nobody waits for it
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        self.reader.join(1)
        size = self.printed.seek(0, os.SEEK_END)
        self.printed.seek(max(0, size - _TAIL))
        tail = self.printed.read().decode("utf-8", "replace").strip()
        self.printed.close()
        return tail

    def how_it_ended(self) -> str:
        """In words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(5)
            return f"ended by signal {-code}" if code < 0 else f"ended with status {code}"
        return "closed its output and goes on"


class Run:
    """The parts of a run, one after the other."""

    def __init__(self, options: argparse.Namespace, record: Record, work: Path) -> None:
        self.options, self.record, self.work = options, record, work
        self.begin = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begin

    def command(self, part: str, seconds: float, items: list[str]) -> list[str]:
        """What does these items."""
        o = self.options
        given = {"device": o.device, "seconds": f"{seconds:.0f}", "minutes": o.minutes, "images": o.images}
        given |= {"work": self.work}
        options = [f"--{name}={value}" for name, value in given.items()]
        return [sys.executable, "-m", "benchmarks.gpu_parts", part, *options, json.dumps(items)]

    def environment(self) -> dict[str, str]:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "ISTHMUS_DEVICE": self.options.device}

    def part(self, part: Part) -> dict[str, Any]:
        """Do all items for which there is time; what came of each is in the record from then on."""
        until = part.share * 60 * self.options.minutes + part.beyond
        items: dict[str, dict[str, Any]] = {}
        done: dict[str, Any] = {"seconds": 0.0, "items": items, "errors": [], "left_out": []}
        self.record.facts["parts"][part.name] = done
        remaining, start, empty = list(part.items), self.seconds, 0
        while (remaining or not part.items) and self.seconds < until and empty < 2:
            before = len(items)
            remaining = self._process(part, remaining, until, done)
            empty = empty + 1 if len(items) == before else 0  # a process that does nothing, twice, never will
            if not part.items and not remaining:
                break
        done["left_out"] = [item for item in remaining if item not in items]
        done["seconds"] = self.seconds - start
        self.record.write()
        return done

    def _process(self, part: Part, remaining: list[str], until: float, done: dict[str, Any]) -> list[str]:
        """Do items in one process, to its end; those that are still to be done."""
        items = done["items"]
        argument = remaining if part.items else list(items)  # which tests there are is known there, not which are done
        current, problem, is_late = None, "", False
        child = Child(self.command(part.name, until - self.seconds, argument), self.environment())
        try:
            while (message := child.message(min(part.most, until - self.seconds))) is not None:
                if "items" in message:
                    remaining = [item for item in message["items"] if item not in items]
                    continue
                current = message.pop("item")
                is_done = message.pop("done", False)
                entry = items.setdefault(current, {})
                entry |= message
                if is_done:
                    self._show(part, current, entry)
                    remaining, current = [item for item in remaining if item != current], None
                self.record.write()
            how = child.how_it_ended()
            if current is not None or child.process.returncode not in (0, _SPOILT):
                problem = f"crashed: {how}"
        except TimeoutError:
            is_late = self.seconds >= until
            problem = "stopped: its time was over" if is_late else f"hung: silent for {part.most:.0f} s"
        finally:
            printed = child.end()
        if current is not None:
            remaining = [item for item in remaining if item != current]
        if is_late and not part.is_all:  # what there was no time for has not failed
            if current is not None:
                items[current]["stopped"] = True
                self._show(part, current, items[current])
        elif problem:
            error = f"{problem}\n{printed}".strip()
            if current is None:
                done["errors"].append(error)
            else:
                items[current]["error"] = error
            print(f"{part.name}, {current or 'between items'}: {error}", flush=True)
        self.record.write()
        return remaining

    def _show(self, part: Part, item: str, entry: dict[str, Any]) -> None:
        if error := entry.get("error"):
            print(f"{part.name}, {item}: {error[-_TAIL:]}", flush=True)
        elif part.name not in ("machine", "tests"):
            known = {key: value for key, value in entry.items() if isinstance(value, str | float | int)}
            if rounds := entry.get("rounds"):
                known |= {
                    loop: f"{entry['steps'] / statistics.median(r[loop] for r in rounds):,.0f}/s" for loop in rounds[0]
                }
            shown = ", ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in known.items()
            )
            print(f"{part.name}, {item}: {shown}", flush=True)


def errors_of(done: dict[str, Any], part: Part) -> list[str]:
    """What is not right with a part."""
    wrong = [f"{item}: {entry['error']}" for item, entry in done["items"].items() if entry.get("error")]
    wrong += done["errors"]
    if part.is_all and (done["left_out"] or not done["items"]):
        wrong.append(
            f"{len(done['left_out'])} of the {part.name} were not run" if done["left_out"] else "nothing was run"
        )
    return wrong


def in_short(error: str) -> str:
    """A line of what is not right: of a traceback, which says the most in its last one, that too."""
    first, *others = error.splitlines()
    return f"{first} … {others[-1]}" if others else first


def ratio_of(rounds: list[dict[str, float]], rival: str) -> str:
    """A rival's seconds over isthmus' of the same round: the median and the range."""
    ratios = [one[rival] / one["isthmus"] for one in rounds]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def table(facts: dict[str, Any]) -> Iterator[str]:
    """The steps by model, as Markdown: steps per second, and rivals' seconds over isthmus' of the same round."""
    steps, compiled = (facts["parts"].get(name, {"items": {}})["items"] for name in ("steps", "compiled"))
    card = facts["machine"]["name"]
    heads = [card, "batch", "products", "isthmus, steps/s", "eager torch, steps/s", "torch.compile, steps/s"]
    yield f"| {' | '.join([*heads, 'eager / isthmus', 'compiled / isthmus'])} |"
    yield "|---" * 8 + "|"
    for item in ROWS:
        row, other = steps.get(item, {}), compiled.get(item, {})
        if not row.get("rounds"):
            continue
        model, batch, precision = json.loads(item)

        def rate(entry: dict[str, Any], loop: str) -> str:
            seconds = [one[loop] for one in entry.get("rounds", ()) if loop in one]
            return f"{entry['steps'] / statistics.median(seconds):,.0f}" if seconds else "–"

        compiled_ratio = ratio_of(other["rounds"], "torch.compile") if other.get("rounds") else "–"
        cells = [model, f"{batch:,}", precision, rate(row, "isthmus"), rate(row, "torch"), rate(other, "torch.compile")]
        yield f"| {' | '.join([*cells, ratio_of(row['rounds'], 'torch'), compiled_ratio])} |"


def conclusion(facts: dict[str, Any]) -> Iterator[str]:
    """What there is to be said beside the table."""
    parts = facts["parts"]
    if tests := parts.get("tests"):
        outcomes = [entry.get("outcome", "failed") for entry in tests["items"].values()]
        counts = ", ".join(f"{outcomes.count(one)} {one}" for one in ("passed", "failed", "skipped") if one in outcomes)
        left_out = f", {len(tests['left_out'])} not run" if tests["left_out"] else ""
        yield f"Tests on {facts['machine']['name']}: {counts or 'none'}{left_out}, in {tests['seconds']:.0f} s."
    if rows := [entry for entry in parts.get("steps", {"items": {}})["items"].values() if entry.get("rounds")]:
        ratios = [statistics.median(one["torch"] / one["isthmus"] for one in entry["rounds"]) for entry in rows]
        reached = sum(ratio >= GOAL_RATIO for ratio in ratios)
        fast = f"{reached} of {len(ratios)} rows at least {GOAL_RATIO:g} times as fast as eager torch"
        yield f"{fast}, of {len(ROWS)} in all."
    if compiled := [e for e in parts.get("compiled", {"items": {}})["items"].values() if e.get("compile_seconds")]:
        slowest = max(entry["compile_seconds"] for entry in compiled)
        yield f"torch.compile took at most {slowest:.0f} s a row, not counted."
    if studies := parts.get("studies", {"items": {}})["items"]:
        for name, entry in studies.items():
            whole = "" if entry.get("complete") else f", {entry.get('models', 0)} models, not complete"
            trained = f"{entry['training_seconds']:.1f} s of training" if "training_seconds" in entry else "nothing"
            yield f"{name}: {trained} in {entry.get('seconds', 0):.0f} s{whole}."
        if len(studies) == len(STUDIES) and all(entry.get("complete") for entry in studies.values()):
            total = sum(entry["training_seconds"] for entry in studies.values())
            quick = " (--quick)" if any(entry.get("quick") for entry in studies.values()) else ""
            yield f"The five studies{quick}: {total:.1f} s of training, of {GOAL_SECONDS:.0f} s that are the goal."
    photographs = parts.get("photographs", {"items": {}})["items"]
    if training := photographs.get("training"):
        epochs, seconds = (
            f"{training.get('epochs')} epochs of {training.get('crops')} crops",
            training.get("seconds", 0),
        )
        yield f"Denoiser: {epochs}, of {training.get('of_recipe')} that its recipe has, in {seconds:.0f} s."
    if measured := photographs.get("bsd68", {}).get("table"):
        yield from ["", *measured]
        yield f"\n{photographs['bsd68']['n']} images of BSD68, one after another, on {facts['machine']['name']}."
    for name, part in parts.items():
        if part["left_out"] and name != "tests":
            yield f"No time was left for {len(part['left_out'])} of {name}, from {part['left_out'][0]} on."


def machine(run: Run) -> dict[str, Any]:
    """The device, by a process that is not this one: to look at a GPU may fail as well."""
    done = run.part(Part("machine", ("machine",), 120, 1e9))
    del run.record.facts["parts"]["machine"]
    entry = done["items"].get("machine", {})
    if "facts" not in entry:
        sys.exit("benchmarks/gpu.sh: the device cannot be looked at")
    return entry["facts"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description="isthmus on a GPU: tests, steps/s, studies.")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to see that this runs (cuda)")
    parser.add_argument("--minutes", type=float, help="to end within (8), or of --photographs to train at most (9)")
    parser.add_argument("--images", type=int, help=f"in an epoch ({IMAGES:,}; on a CPU 4,096)")
    parser.add_argument("--photographs", action="store_true", help="train and measure the denoiser instead")
    parser.add_argument("--only", help="parts, with commas: tests, steps, studies, compiled (all)")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "gpu.json", help="all of it (build/gpu.json)")
    options = parser.parse_args()
    options.minutes = options.minutes or (9 if options.photographs else 8)
    options.images = options.images or (IMAGES if options.device == "cuda" else 4096)
    if names := missing():
        sys.exit(f"benchmarks/gpu.sh: {sys.executable} lacks {', '.join(names)}")
    parts = PHOTOGRAPH_PARTS if options.photographs else PARTS
    if options.only:
        chosen = options.only.split(",")
        if unknown := set(chosen) - {part.name for part in parts}:
            parser.error(f"unknown part {min(unknown)}; known: {', '.join(part.name for part in parts)}")
        parts = tuple(part for part in parts if part.name in chosen)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(carried_out(options, parts))


def carried_out(options: argparse.Namespace, parts: tuple[Part, ...]) -> int:
    """Do these parts; 1 if something is not right."""
    facts: dict[str, Any] = {"complete": False, "right": False, "minutes": options.minutes, "machine": {}, "parts": {}}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        run = Run(options, Record(options.json, facts), Path(work))
        facts["machine"] = machine(run)
        if options.device == "cuda" and not facts["machine"]["cuda"]:
            sys.exit("benchmarks/gpu.sh: torch sees no CUDA device")
        print(", ".join(f"{key} {value}" for key, value in facts["machine"].items()), flush=True)
        run.record.write()
        for part in parts:
            done = run.part(part)
            wrong += [f"{part.name}: {error}" for error in errors_of(done, part)]
            print(f"{part.name}: {done['seconds']:.0f} s, {run.seconds:.0f} s in all", flush=True)
    facts |= {"complete": True, "right": not wrong, "seconds": run.seconds}
    run.record.write()
    print()
    if "steps" in facts["parts"]:
        print("\n".join(table(facts)) + "\n")
    print("\n".join(conclusion(facts)))
    if wrong:
        print(f"\nNot right, {len(wrong)}:")
        print("\n".join(f"- {in_short(error)}" for error in wrong))
    print(f"\n{run.seconds:.0f} s; {options.json}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
