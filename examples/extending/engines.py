"""Two engines from outside the package: threads of this process, and a process for each task, as a launcher starts it.

isthmus run STUDY --engine processes --import engines
"""

import contextlib
import json
import queue
import subprocess
import sys
import threading

from isthmus.studies.run import engines
from isthmus.studies.run.engines.engine import failure, is_last
from isthmus.studies.run.engines.worker import Worker


class StoppedError(Exception):
    """Ends a training from inside its callback."""


class Threads:
    """Runs tasks in a thread of this process. One that is stopped ends at its next message."""

    most = 1  # threads of one process share their number of threads, and their filters of warnings

    def slots(self, tasks, planned):
        return min(tasks, self.most)

    @contextlib.contextmanager
    def open(self, slots, threads):
        self.threads, self.stopped = [], False
        self.slot, self.messages = threading.Semaphore(min(slots, self.most)), queue.SimpleQueue()
        try:
            yield
        finally:
            self.stopped = True
            for thread in self.threads:
                thread.join()

    def submit(self, task):
        self.threads.append(threading.Thread(target=self.work, args=(task,)))
        self.threads[-1].start()

    def receive(self):
        return self.messages.get()

    def work(self, task):
        with self.slot, contextlib.suppress(StoppedError):
            self.run(task, lambda message: self.pass_on(task, message))

    def pass_on(self, task, message):
        if self.stopped:
            raise StoppedError
        self.messages.put((task, message))

    def run(self, task, send):
        Worker().run(task, send)


class Processes(Threads):
    """Runs each task in a process of its own, as a launcher on a cluster does."""

    most = 2

    def run(self, task, send):
        command = [sys.executable, "-m", "isthmus.studies.run.engines.worker"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            process.stdin.write(json.dumps(task.table()) + "\n")
            process.stdin.flush()
            try:
                for message in map(json.loads, process.stdout):
                    send(message)
                    if is_last(message):
                        return
            finally:
                process.stdin.close()  # at which it ends
        send(failure(f"{task.model}: lost, {process.returncode}"))


engines.register("threads", Threads)
engines.register("processes", Processes)
