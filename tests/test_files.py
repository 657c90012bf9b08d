import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from isthmus import locks
from isthmus.errors import RequestError, RunError
from isthmus.files import (
    _exchanged,
    atomic_file,
    atomic_folder,
    held_folder,
    open_regular,
    prepare_folder,
    remove,
    save_array,
    stream_array,
    sweep,
    write_json,
)
from isthmus.locks import Owner, lock


def child(script, *arguments, **options):
    """A Python process that runs the script, with pipes to talk through."""
    command = [sys.executable, "-c", script, *map(os.fsencode, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def no_file_above(n_bytes):
    """Within it, the system lets this process write no file longer than n_bytes: what a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "sön.txt"
    with atomic_file(path, "w") as file:
        file.write("first é")
        file.flush()
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "first é"
    with atomic_file(path) as file:
        file.write(b"second")
        file.flush()
        assert path.read_text(encoding="utf-8") == "first é"
    assert path.read_bytes() == b"second"
    assert names(tmp_path) == [path.name]


def fail_in_a_file(path, error):
    with atomic_file(path) as file:
        file.write(b"ne")
        raise error


def fail_in_a_folder(path, error):
    with atomic_folder(path) as building:
        (building / "new").write_bytes(b"2")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_that_fails_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error):
        fail_in_a_file(path, error)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with no_file_above(4096), pytest.raises(OSError), atomic_file(path) as file:
        file.write(bytes(1 << 20))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_json_is_strict_and_comes_back(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"é": [1, None, 0.1]})
    with pytest.raises(ValueError):
        write_json(path, {"bad": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": [1, None, 0.1]}
    assert names(tmp_path) == ["a.json"]


def test_a_folder_appears_whole_in_place_of_the_old(tmp_path):
    path = tmp_path / "model"
    with atomic_folder(path) as building:
        (building / "old").write_bytes(b"1")
        assert not path.exists()
    with atomic_folder(path) as building:
        (building / "inner").mkdir()
        (building / "inner" / "new").write_bytes(b"2")
        assert names(path) == ["old"]
    assert names(path) == ["inner"]
    assert (path / "inner" / "new").read_bytes() == b"2"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_that_fails_leaves_the_old_one(tmp_path, error):
    path = tmp_path / "model"
    with atomic_folder(path) as building:
        (building / "old").write_bytes(b"1")
    with pytest.raises(error):
        fail_in_a_folder(path, error)
    assert names(path) == ["old"]
    assert names(tmp_path) == ["model"]


def test_a_folder_is_built_where_there_was_nothing(tmp_path):
    path = tmp_path / "not" / "yet" / "model"
    with atomic_folder(path) as building:
        (building / "file").write_bytes(b"1")
    assert names(path) == ["file"]


WRITE_FILES = """
import sys
from pathlib import Path
from isthmus.files import write_json
n = 0
while True:
    n += 1
    write_json(Path(sys.argv[1]), {"n": n, "filling": [n] * 20_000})
    print(n, flush=True)
"""


@pytest.mark.parametrize("wait_for", [1, 2, 5])
def test_kill_9_never_leaves_half_a_file(tmp_path, wait_for):
    path = tmp_path / "results.json"
    with child(WRITE_FILES, path) as writer:
        for _ in range(wait_for):
            writer.stdout.readline()
        writer.kill()
    value = json.loads(path.read_text(encoding="utf-8"))
    assert value["n"] >= wait_for
    assert value["filling"] == [value["n"]] * 20_000
    sweep(tmp_path)
    assert names(tmp_path) == ["results.json"]


DIE_IN_A_FILE = """
import os, signal, sys
from pathlib import Path
from isthmus.files import atomic_file
with atomic_file(Path(sys.argv[1])) as file:
    file.write(bytes(1 << 20))
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_in_mid_write_leaves_the_old_file_and_a_leftover_that_is_swept(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with child(DIE_IN_A_FILE, path) as writer:
        assert writer.wait() == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    sweep(tmp_path)
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


DIE_IN_A_FOLDER = """
import os, shutil, signal, sys
from pathlib import Path
from isthmus import files

def dying(call):
    def dies(*arguments):
        global steps
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)
    return dies

steps, at_once = int(sys.argv[2]), sys.argv[3] == "at once"
os.replace, shutil.rmtree = dying(os.replace), dying(shutil.rmtree)
files._exchanged = dying(files._exchanged) if at_once else lambda *_: False
with files.atomic_folder(Path(sys.argv[1])) as building:
    (building / "weights").write_bytes(b"new")
    (building / "config").write_bytes(b"new")
print("lived")
"""


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory):
    """Whether two folders can change places in one step here."""
    where = tmp_path_factory.mktemp("exchange")
    for name in ("a", "b"):
        (where / name).mkdir()
        (where / name / name).write_bytes(b"")
    done = _exchanged(where / "a", where / "b")
    assert names(where / "a") == (["b"] if done else ["a"])
    return done


@pytest.mark.parametrize(
    ("how", "step", "left"),
    [
        ("renames", 1, b"old"),
        ("renames", 2, b"old"),
        ("renames", 3, b"new"),
        ("renames", 4, b"new"),
        ("at once", 1, b"old"),
        ("at once", 2, b"new"),
        ("at once", 3, b"new"),
    ],
)
def test_kill_9_while_a_folder_is_replaced_leaves_the_old_or_the_new(how, step, left, tmp_path, exchanges):
    if how == "at once" and not exchanges:
        pytest.skip("this file system cannot exchange two folders in one step")
    path = tmp_path / "models" / "dense"
    with atomic_folder(path) as building:
        (building / "weights").write_bytes(b"old")
        (building / "config").write_bytes(b"old")
    with child(DIE_IN_A_FOLDER, path, str(step), how) as writer:
        assert (writer.stdout.read() == b"lived\n") == (step == (4 if how == "renames" else 3))
    if how == "at once":
        assert path.is_dir(), "it was never missing"
    sweep(tmp_path)
    assert names(tmp_path / "models") == ["dense"]
    assert {file.read_bytes() for file in path.iterdir()} == {left}
    assert names(path) == ["config", "weights"]


@pytest.mark.parametrize("machine_id", ["known", ""])
def test_what_the_dead_left_is_removed_by_the_next_and_the_livings_is_not(machine_id, tmp_path, monkeypatch):
    here = Owner.current()  # which is known for good then
    monkeypatch.setattr(locks, "_read", lambda _: machine_id)
    with child("") as dead:
        pass
    dead.wait()
    gone = here._replace(process=dead.pid)
    unknown = [gone._replace(host="0" * 8), gone._replace(namespace=1), here._replace(process=1)]
    left = [*(f"a.{owner}.tmp" for owner in unknown), f"a.{dead.pid}.tmp", "a.20240101123000123.tmp", "a.x.tmp",
            f"a[.{gone}.tmp"]  # fmt: skip
    swept, before = [f"a.{gone}.tmp", f"b.{gone}.tmp"], f"a.{here._replace(boot='0' * 8)}.tmp"
    (swept if machine_id else left).append(before)  # without one, another host may have the name
    for name in (*left, *swept):
        (tmp_path / name).mkdir()
    with atomic_file(tmp_path / "a"):
        pass
    with atomic_folder(tmp_path / "b"):
        pass
    assert names(tmp_path) == sorted(["a", "b", *left])


HALF = """
import sys, os
from pathlib import Path
from isthmus import locks
from isthmus.files import atomic_folder
locks._here = lambda: ("0" * 8, "1" * 8, 2)
with atomic_folder(Path(sys.argv[1])) as building:
    (building / "half").touch()
    print(building.name, flush=True)
    sys.stdin.read()
    (building / "other half").touch()
"""


def test_what_another_machine_is_writing_is_not_removed(tmp_path):
    """On a shared disk a process of its number may not run here."""
    with child(HALF, tmp_path / "model") as writer:
        building = writer.stdout.readline().decode().strip()
        os.rename(tmp_path / building, tmp_path / (other := building.replace(str(writer.pid), "4194304")))
        with atomic_folder(tmp_path / "model") as ours:
            (ours / "ours").touch()
        assert names(tmp_path) == sorted(["model", other])
        os.rename(tmp_path / other, tmp_path / building)
        writer.stdin.close()
        assert writer.wait() == 0
    assert names(tmp_path / "model") == ["half", "other half"]


def test_sweep_removes_our_temporary_names_only(tmp_path):
    (tmp_path / "models").mkdir()
    for name in ("a.tmp", "a.9.tmp", f"a.{Owner(9, '0' * 8, '1' * 8, 2)}.tmp", "a.fetched.tmp", "keep"):
        (tmp_path / name).write_bytes(b"")
    for name in ("b.7.tmp", "gone.old.tmp", "gone", "keep.tmpl"):
        (tmp_path / "models" / name).write_bytes(b"")
    (tmp_path / "c.9.tmp" / "inner.tmp").mkdir(parents=True)
    sweep(tmp_path)
    assert names(tmp_path) == ["a.tmp", "keep", "models"]
    assert names(tmp_path / "models") == ["gone", "keep.tmpl"]


def test_remove_takes_the_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("link", "never there"):
        remove(tmp_path / name)
    assert names(tmp_path) == ["kept"]
    remove(tmp_path / "kept" / "file")
    remove(tmp_path / "kept")
    assert names(tmp_path) == []


def test_prepare_folder_makes_it_and_leaves_nothing_in_it(tmp_path):
    for _ in range(2):
        prepare_folder(tmp_path / "new" / "папка", needed=1)
    assert names(tmp_path / "new" / "папка") == []


def unwritable(tmp_path, where):
    if where == "/proc":  # not even root can write there
        return Path("/proc/isthmus")
    (tmp_path / "file").write_bytes(b"kept")
    if where == "name too long":
        return tmp_path / ("x" * 300)
    return tmp_path / ("file" if where == "a file" else "file/below")


@pytest.mark.parametrize("where", ["/proc", "a file", "below a file", "name too long"])
def test_an_unwritable_place_is_refused_before_any_work(tmp_path, where):
    folder = unwritable(tmp_path, where)
    with pytest.raises(RequestError) as caught:
        prepare_folder(folder, needed=1)
    assert str(caught.value).startswith(f"cannot write to {folder}: ")
    assert str(caught.value).endswith("; choose another folder with --out")
    assert names(tmp_path) == ([] if where == "/proc" else ["file"])


PREPARE_UNPRIVILEGED = """
import os, sys
from pathlib import Path
os.chdir(sys.argv[1])
from isthmus.files import prepare_folder
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    prepare_folder(Path("runs"), needed=1)
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o555, b"cannot write to runs: Permission denied; choose another folder with --out\n"), (0o777, b"")],
)
def test_a_read_only_folder_is_refused(tmp_path, mode, said):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(mode)
    tmp_path.chmod(0o755)
    with child(PREPARE_UNPRIVILEGED, tmp_path) as asked:
        assert asked.stdout.read() == said
        assert asked.wait() == 0
    assert names(tmp_path / "runs") == []


def test_too_little_room_is_refused(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(RequestError, match=r"MiB free, .* MiB needed; choose another folder"):
        prepare_folder(tmp_path, needed=2 * free)
    assert names(tmp_path) == []


def test_a_disk_on_which_nothing_can_be_written_is_refused(tmp_path):
    with no_file_above(4096), pytest.raises(RequestError, match=r"cannot write to .*: File too large"):
        prepare_folder(tmp_path, needed=1)
    assert names(tmp_path) == []


HOLD = """
import sys
from pathlib import Path
from isthmus.locks import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
print("released", flush=True)
"""


def test_the_second_process_is_told_who_holds_the_folder(tmp_path):
    with child(HOLD, tmp_path) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"in use by process {holder.pid} on .*--out") as caught, lock(tmp_path):
            pytest.fail("two processes held the lock")
        assert "\n" not in str(caught.value)
        holder.stdin.close()
        assert holder.stdout.readline() == b"released\n"
    with lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text(encoding="utf-8")


def test_a_killed_holder_holds_nothing(tmp_path):
    with child(HOLD, tmp_path) as holder:
        holder.stdout.readline()
        holder.kill()
    with lock(tmp_path), pytest.raises(RunError, match=f"process {os.getpid()}"), lock(tmp_path):
        pytest.fail("held twice")


def test_the_lock_is_released_by_an_error(tmp_path):
    with pytest.raises(KeyError), lock(tmp_path):
        raise KeyError
    with lock(tmp_path):
        pass


def test_a_holder_whose_arguments_are_not_utf8_holds_all_the_same(tmp_path):
    with child(HOLD, tmp_path, "caf\udce9.toml") as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"process {holder.pid}"), lock(tmp_path):
            pytest.fail("two processes held the lock")


# --- another machine, on a disk whose kernel locks exclude nobody elsewhere ---

ELSEWHERE = """
import fcntl, os, sys
from pathlib import Path
from isthmus import locks
host, boot, namespace = sys.argv[2:5]
fcntl.flock = lambda *_: None
locks._here = lambda: (host, boot, int(namespace))
locks._BEAT, locks._PATIENCE = 0.05, 1.5
"""
HOLD_THERE = (
    ELSEWHERE
    + """
with locks.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
)
# Only one at a time finds the place free that each leaves as it was
TAKE_TURNS = (
    ELSEWHERE
    + """
import random, time
from isthmus.errors import RunError
inside, rng = Path(sys.argv[1], "inside"), random.Random(host)
turns = 0
while turns < 5:
    try:
        with locks.lock(Path(sys.argv[1])):
            inside.mkdir()
            time.sleep(rng.random() / 100)
            inside.rmdir()
            turns += 1
    except RunError:
        pass
    time.sleep(rng.random() / 50)
"""
)


THERE = ("0" * 8, "1" * 8, "2")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "_BEAT", 0.05)
    monkeypatch.setattr(locks, "_PATIENCE", 1.5)
    monkeypatch.setattr("fcntl.flock", lambda *_: None)


@contextlib.contextmanager
def holder(folder, *where):
    with child(HOLD_THERE, folder, *map(str, where)) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()
        process.wait()


def test_what_another_machine_holds_is_refused_by_its_name(tmp_path, impatient):
    with (
        holder(tmp_path, *THERE) as other,
        pytest.raises(RunError, match=f"in use by process {other.pid} on "),
        lock(tmp_path),
    ):
        pytest.fail("two machines held the lock")
    with lock(tmp_path):
        assert [Owner.parsed(path.name) for path in (tmp_path / ".lock.held").iterdir()] == [Owner.current()]
    assert names(tmp_path) == [".lock"]


def test_a_machine_that_died_holds_nothing_after_a_while(tmp_path, impatient):
    with holder(tmp_path, *THERE) as other:
        other.kill()
    start = time.monotonic()
    with lock(tmp_path):
        assert time.monotonic() - start > 1.5
    assert names(tmp_path) == [".lock"]


def test_a_process_of_this_kernel_that_died_holds_nothing_at_once(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 1e6)
    with holder(tmp_path, *Owner.current()[1:]) as other:
        other.kill()
    with lock(tmp_path):
        pass


def test_without_the_kernels_locks_a_living_process_is_refused_and_a_dead_one_is_not(tmp_path, impatient, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    monkeypatch.setattr(locks, "_PATIENCE", 1e6)
    with holder(tmp_path, *Owner.current()[1:]) as other:
        with pytest.raises(RunError, match=f"in use by process {other.pid}"), lock(tmp_path):
            pytest.fail("two processes held the lock")
        other.kill()
        other.wait()
        with lock(tmp_path):
            pass


def test_who_was_taken_for_dead_leaves_the_lock_of_the_next_alone(tmp_path, impatient):
    with holder(tmp_path, *THERE) as sleeper:
        os.kill(sleeper.pid, signal.SIGSTOP)
        with lock(tmp_path):
            os.kill(sleeper.pid, signal.SIGCONT)
            sleeper.stdin.close()
            assert sleeper.wait() == 0
            assert (tmp_path / ".lock.held" / str(Owner.current())).exists()


WRITE_THERE = (
    ELSEWHERE
    + """
from isthmus.errors import RunError
from isthmus.files import atomic_folder, write_json
folder = Path(sys.argv[1])
try:
    with locks.lock(folder):
        write_json(folder / "inside" / "a.json", 1)
        print("held", flush=True)
        sys.stdin.readline()
        if sys.argv[5] == "a file":
            write_json(folder / "inside" / "a.json", 2)
        else:
            with atomic_folder(folder / "inside" / "made") as building:
                (building / "b").write_text("2")
except RunError as error:
    print(error)
"""
)


@pytest.mark.parametrize("of", ["a file", "a folder"])
@pytest.mark.parametrize("is_over", [False, True])
def test_who_was_taken_for_dead_is_told_at_its_next_write_and_nothing_is_written(of, is_over, tmp_path, impatient):
    (tmp_path / "inside").mkdir()
    with child(WRITE_THERE, tmp_path, *THERE, of) as sleeper:
        assert sleeper.stdout.readline() == b"held\n"
        os.kill(sleeper.pid, signal.SIGSTOP)
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock(tmp_path))
            if is_over:  # whoever took over has come and gone
                stack.close()
            sleeper.stdin.write(b"\n")
            sleeper.stdin.flush()
            os.kill(sleeper.pid, signal.SIGCONT)
            words = sleeper.stdout.read().decode()
            assert sleeper.wait() == 0
    assert words.startswith(f"{tmp_path}: this process gave no sign of life for more than ")
    assert "another one has it now" in words
    assert names(tmp_path / "inside") == ["a.json"]
    assert (tmp_path / "inside" / "a.json").read_text() == "1\n"


def test_a_folder_that_was_removed_and_made_again_is_written_to(tmp_path, impatient):
    """As that of the checkpoints of a model which an orphan has finished: nobody else holds it."""
    folder = tmp_path / "held"
    folder.mkdir()
    with lock(folder):
        shutil.rmtree(folder)
        folder.mkdir()
        time.sleep(0.3)
        write_json(folder / "a.json", 1)
        assert (folder / "a.json").exists()


def test_a_folder_in_use_is_waited_for_where_that_is_wanted(tmp_path):
    notes = []
    (tmp_path / "a").mkdir()
    with child(HOLD, tmp_path / "a") as holder:
        assert holder.stdout.readline() == b"held\n"
        threading.Timer(1.0, holder.stdin.close).start()
        with held_folder(tmp_path / "a", 0, "--out", waiting=notes.append):
            assert str(os.getpid()) in (tmp_path / "a" / ".lock").read_text()
        assert holder.stdout.readline() == b"released\n"
    assert len(notes) == 1
    assert f"is in use by process {holder.pid} on " in notes[0]


def test_machines_take_turns_also_at_what_a_dead_one_left(tmp_path):
    with holder(tmp_path, "f" * 8, *THERE[1:]) as dead:
        dead.kill()
    for stage in ("", "dead."):  # of one that was killed while it took the lock, or took it over
        (tmp_path / f".lock.held.{stage}{Owner(dead.pid, '0' * 7 + '1', *THERE[1:])}.tmp").mkdir()
    with contextlib.ExitStack() as stack:
        machines = [stack.enter_context(child(TAKE_TURNS, tmp_path, f"{i:08d}", *THERE[1:])) for i in range(4)]
        assert [machine.wait(60) for machine in machines] == [0] * 4
    assert names(tmp_path) == [".lock"]


def test_a_lock_that_another_has_taken_over_first_stays_where_it_is(tmp_path, impatient, monkeypatch):
    """While it is away, however shortly, a third could take the place of the second."""
    monkeypatch.setattr(locks, "_PATIENCE", 0.2)
    place, rename, seen = tmp_path / ".lock.held", os.rename, []
    place.mkdir()
    dead, second = (str(Owner(1, host * 8, *THERE[1:])) for host in "de")
    (place / dead).write_bytes(b"000000000000 dead")

    def renamed(source, target):
        if not seen and Path(target).name != place.name:
            rename(place / dead, place / second)
            (place / second).write_bytes(b"000000000000 second")
            with contextlib.suppress(OSError):
                rename(source, target)
            seen.append((place / second).exists())
        rename(source, target)

    monkeypatch.setattr("os.rename", renamed)
    with lock(tmp_path):
        assert [path.name for path in place.iterdir()] == [str(Owner.current())]
    assert seen == [True]


def test_who_finds_the_place_free_removes_nobody_who_moves_in(tmp_path, impatient, monkeypatch):
    """Of two that wait, the second may move in after any look of the first at a place that was free."""
    place, sign, looks = tmp_path / ".lock.held", locks._sign, []
    place.mkdir()
    (place / "first").write_bytes(b"")

    def looked(folder):
        if not looks:
            shutil.rmtree(place)
        looks.append(sign(folder))
        if len(looks) == 2:
            place.mkdir()
            (place / "second").write_bytes(b"")
        return looks[-1]

    monkeypatch.setattr(locks, "_sign", looked)
    with lock(tmp_path):
        assert len(looks) == 1 or (place / "second").exists()


def test_a_holder_that_takes_turns_with_itself_is_not_taken_for_dead(tmp_path, impatient):
    """Each hold is too short for a second sign of life, and looks at it may miss that it was away."""
    place, signs = tmp_path / ".lock.held", []
    for _ in range(2):
        with lock(tmp_path):
            signs.append([(path.name, path.read_bytes()) for path in place.iterdir()])
    assert signs[0] != signs[1]


def test_a_sign_of_life_that_cannot_be_read_is_not_taken_over(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.2)
    (tmp_path / ".lock.held" / "a folder").mkdir(parents=True)
    with pytest.raises(RunError, match="a folder, which cannot be read"), lock(tmp_path):
        pytest.fail("held")
    assert (tmp_path / ".lock.held" / "a folder").exists()


@pytest.mark.parametrize("failing", ["mkdir", "write_bytes"])
def test_a_lock_that_cannot_be_had_leaves_nothing(failing, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, failing, full)
        with pytest.raises(OSError, match="No space left"), lock(tmp_path):
            pytest.fail("held")
    assert names(tmp_path) == [".lock"]
    with lock(tmp_path):
        pass


def test_a_pipe_or_a_device_is_not_waited_for(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"abc"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="a pipe or a device"):
            open_regular(path)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def test_what_a_killed_process_left_in_a_checkpoint_is_swept_with_all_around_it(tmp_path):
    probe = tmp_path / "checkpoints" / "a" / "writable.123456.tmp"
    inside = tmp_path / "models" / "b.123456.tmp" / "c.123456.tmp"
    for path in (probe, inside):
        path.parent.mkdir(parents=True)
        path.touch()
    sweep(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))
    assert probe.parent.is_dir()


@pytest.mark.parametrize("n", [1, 9, 10, 1234])
@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_stream_of_rows_has_the_bytes_of_numpys_array(tmp_path, n, shape, dtype):
    array = (np.random.default_rng(n).random((n, *shape)) * 200).astype(dtype)
    np.save(tmp_path / "whole.npy", array)
    with atomic_file(tmp_path / "rows.npy") as file:
        assert stream_array(file, iter(array), array.dtype) == array.shape
    with atomic_file(tmp_path / "saved.npy") as file:
        save_array(file, array)
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert (tmp_path / "saved.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_rows_of_two_shapes_are_no_array(tmp_path):
    with pytest.raises(ValueError, match=r"rows of \(2,\) and of \(3,\)"), atomic_file(tmp_path / "a.npy") as file:
        stream_array(file, [np.zeros(2), np.zeros(3)], np.dtype(float))
    assert list(tmp_path.iterdir()) == []
