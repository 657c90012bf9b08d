"""The engine of several machines: the same worker processes, each started by a prefix such as `ssh HOST` or `srun`.

The machines share a disk: the folder of the run and that in which the command is given have the same path on all. A
worker says every few seconds that it is there: one that has not said so for a minute is taken for lost, for of a
machine without power, or behind a cut network, nothing is heard.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from isthmus.errors import RequestError, require
from isthmus.locks import HELD, Owner
from isthmus.machine import piped
from isthmus.studies.run.engines.alike import kept_equal
from isthmus.studies.run.engines.engine import Message, Task, failure
from isthmus.studies.run.engines.local import Local, Process, Runner, ended, environment_of

_MODULE = "isthmus.studies.run.engines.worker"
_CARRIED = ("PYTHONPATH", "ISTHMUS_DATA", "ISTHMUS_CACHE")  # variables that a shell on another machine does not have
_BEAT, _SILENCE = 10.0, 60.0  # seconds from one sign of life to the next, and without one until a worker is lost
_START = 600.0  # seconds until a worker must have said something: it may wait for a login, and import from a slow disk
_PAUSE = 3.0  # seconds until one that said nothing is started again: a host may refuse many logins at once
_SRUN = "srun --nodes=1 --ntasks=1 --cpus-per-task={threads} --exact"


def carried() -> dict[str, str]:
    """Variables that a process on another machine is given."""
    return {name: os.environ[name] for name in _CARRIED if name in os.environ}


def checking(task: Task) -> bytes:
    """What a worker that may be elsewhere is asked first: whether it is like this process, and on the same disk."""
    held = Path(task.request["out"]) / task.study / HELD / str(Owner.current())
    device = task.request["device"]
    check = {"folder": os.getcwd(), "held": str(held), "device": device, "equal": kept_equal(device)}
    return json.dumps({"check": check}).encode()


def refusal(message: Message) -> str | None:
    """Why a worker cannot be used, as it answered, "" if it can; None for another message."""
    return message.get("checked")


class Launched(Local):
    """A worker process for each place, started by `prefix`, in which {host} is the place and {threads} its threads.

    option: that asked for it, for errors. A place whose worker cannot be started is left out, unless it is the last.
    """

    def __init__(self, prefix: str, places: Sequence[str], option: str = "--launch") -> None:
        super().__init__()
        try:
            self.prefix = shlex.split(prefix)
        except ValueError as error:
            raise RequestError(f"{option}: {prefix!r} is not a command ({error})") from None
        require(bool(self.prefix), option, "a command, such as 'ssh {host}'", prefix)
        if shutil.which(self.prefix[0]) is None:
            raise RequestError(f"{option}: there is no program {self.prefix[0]} on this machine")
        self.places = tuple(places)

    def slots(self, tasks: int, planned: int) -> int:
        return min(tasks, len(self.places))  # of one model too: it may be meant for a machine that has more memory

    def process(self, place: int, threads: int) -> Runner:
        return _Launched(self.command(self.places[place], threads), self.places[place], place, threads)

    def _stays(self, place: int, worker: Runner) -> bool:
        if not self._queue.retire(place):
            return True  # the last one: it says of the next task why it cannot run it
        assert isinstance(worker, _Launched)
        self._note(f"{worker.name} {worker.reason} before it said anything, and is no longer used")
        return False

    def command(self, host: str, threads: int) -> list[str]:
        """What starts the worker of a place."""
        fields = {"{host}": host, "{threads}": str(threads)}
        prefix = list(self.prefix)
        for field, value in fields.items():
            prefix = [word.replace(field, value) for word in prefix]
        variables = [f"{name}={value}" for name, value in {**environment_of(threads), **carried()}.items()]
        words = ["env", *variables, sys.executable, "-m", _MODULE]
        if Path(prefix[0]).name == "ssh":  # which joins its words, for a shell to take apart
            words = [shlex.quote(word) for word in words]
        return [*prefix, *words]


class _Launched(Process):
    """A process that may be on another machine: it is asked what it is before it is given anything to do.

    reason: why it could not be started, "" if it was. place: its number, which stands for a node that is not known.
    """

    def __init__(self, command: list[str], host: str, place: int, threads: int) -> None:
        self._command, self.reason = command, ""
        self.node = host or str(place)
        self.name = f"the worker on {host}" if host else f"the worker of {shlex.join(command[:3])} ..."
        self.patience = _START, _SILENCE
        super().__init__(threads)

    def _started(self) -> subprocess.Popen[bytes]:
        self._is_up = self._is_known = False
        return piped(self._command)

    def ready(self) -> bool:
        """Wait for the first word of the process; False if it said none, twice, or after `stop`."""
        for seconds in (0.0, _PAUSE):
            if self._stopped.wait(seconds) or not self._is_there():
                return False
            if self._is_up:
                return True
            self._write(json.dumps({"beat": _BEAT}).encode())
            self._is_up = next(self._messages, None) is not None
            if self._is_up:
                self.reason = ""
                return True
            self.reason = self._end()
        return False

    def run(self, task: Task) -> Iterator[Message]:
        if self.reason:
            yield failure(f"{task.model}: no worker is left: {self.name} {self.reason}")
            return
        for message in super().run(task):
            if (reason := refusal(message)) is None:
                yield message
            elif reason:
                yield failure(f"{self.name} cannot be used: {reason}", RequestError())
                return

    def _how(self, code: int) -> str:
        return ended(code, "fewer workers on it leave more for each")

    def _lines(self, task: Task) -> list[bytes]:
        lines = super()._lines(task)
        if not self._is_known:
            self._is_known, lines = True, [checking(task), *lines]
        return lines


def launched(prefix: str, hosts: Sequence[str], workers: int, option: Callable[[str], str] = "--{}".format) -> Launched:
    """The engine of a prefix: with {host} in it `workers` on each of the hosts, else `workers` in all.

    option: how the user writes an option, for errors.
    """
    given = f"given with {option('launch')} that has {{host}} in it"
    if "{host}" in prefix:
        require(bool(hosts), option("hosts"), f"{given}, such as a,b", ",".join(hosts))
    else:
        require(not hosts, option("hosts"), given, ",".join(hosts))
    return Launched(prefix, [host for host in hosts or [""] for _ in range(workers)], option("launch"))


def slurm() -> Launched:
    """The engine inside an allocation of SLURM, which `salloc` and `sbatch` give: a worker for each of its tasks."""
    tasks = os.environ.get("SLURM_NTASKS", "")
    if not tasks.isdecimal():
        raise RequestError('engine "slurm" runs inside an allocation: sbatch --ntasks=N, or salloc --ntasks=N, first')
    return Launched(_SRUN, [""] * int(tasks), "--engine slurm")
