"""The engine of several machines: the same worker processes, each started by a prefix such as `ssh HOST` or `srun`.

The machines share a disk: the folder of the run and that in which the command is given have the same path on all.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from isthmus.errors import RequestError, require
from isthmus.locks import HELD, Owner
from isthmus.machine import piped
from isthmus.studies.run.engines.engine import Message, Task, failure
from isthmus.studies.run.engines.local import Local, Process, Runner, environment_of
from isthmus.studies.run.engines.worker import kept_equal

_MODULE = "isthmus.studies.run.engines.worker"
_CARRIED = ("PYTHONPATH", "ISTHMUS_DATA", "ISTHMUS_CACHE")  # variables that a shell on another machine does not have
_SRUN = "srun --nodes=1 --ntasks=1 --cpus-per-task={threads} --exact"


def carried() -> dict[str, str]:
    """Variables that a process on another machine is given."""
    return {name: os.environ[name] for name in _CARRIED if name in os.environ}


def checking(task: Task) -> bytes:
    """What a worker that may be elsewhere is asked first: whether it is like this process, and on the same disk."""
    held = Path(task.request["out"]) / task.study / HELD / str(Owner.current())
    return json.dumps({"check": {"folder": os.getcwd(), "held": str(held), "equal": kept_equal()}}).encode()


def refusal(message: Message) -> str | None:
    """Why a worker cannot be used, as it answered, "" if it can; None for another message."""
    return message.get("checked")


class Launched(Local):
    """A worker process for each place, started by `prefix`, in which {host} is the place and {threads} its threads."""

    def __init__(self, prefix: str, places: Sequence[str]) -> None:
        super().__init__()
        try:
            self.prefix = shlex.split(prefix)
        except ValueError as error:
            raise RequestError(f"--launch: {prefix!r} is not a command ({error})") from None
        require(bool(self.prefix), "--launch", "a command, such as 'ssh {host}'", prefix)
        if shutil.which(self.prefix[0]) is None:
            raise RequestError(f"--launch: there is no program {self.prefix[0]} on this machine")
        self.places = tuple(places)

    def slots(self, tasks: int, planned: int) -> int:
        return min(tasks, len(self.places))  # of one model too: it may be meant for a machine that has what this lacks

    def process(self, place: int, threads: int) -> Runner:
        return _Launched(self.command(self.places[place], threads), self.places[place], threads)

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
    """A process that may be on another machine: it is asked what it is before it is given anything to do."""

    def __init__(self, command: list[str], host: str, threads: int) -> None:
        self._command, self._host = command, host
        super().__init__(threads)

    def _start(self) -> subprocess.Popen[bytes]:
        self._is_known = False
        return piped(self._command)

    def run(self, task: Task) -> Iterator[Message]:
        for message in super().run(task):
            if (reason := refusal(message)) is None:
                yield message
            elif reason:
                yield failure(f"the worker {self._name} cannot be used: {reason}", RequestError())
                return

    @property
    def _name(self) -> str:
        return f"on {self._host}" if self._host else f"of {shlex.join(self._command[:3])} ..."

    def _lines(self, task: Task) -> Iterator[bytes]:
        if not self._is_known:
            self._is_known = True
            yield checking(task)
        yield from super()._lines(task)


def launched(prefix: str, hosts: Sequence[str], workers: int) -> Launched:
    """The engine of a prefix: with {host} in it `workers` on each of the hosts, else `workers` in all."""
    if "{host}" in prefix:
        require(bool(hosts), "--hosts", "given with --launch that has {host} in it, such as a,b", ",".join(hosts))
        return Launched(prefix, [host for host in hosts for _ in range(workers)])
    require(not hosts, "--hosts", "given with --launch that has {host} in it", ",".join(hosts))
    return Launched(prefix, [""] * workers)


def slurm() -> Launched:
    """The engine inside an allocation of SLURM, which `salloc` and `sbatch` give: a worker for each of its tasks."""
    tasks = os.environ.get("SLURM_NTASKS", "")
    if not tasks.isdecimal():
        raise RequestError('engine "slurm" runs inside an allocation: sbatch --ntasks=N, or salloc --ntasks=N, first')
    return Launched(_SRUN, [""] * int(tasks))
