"""At whatever system call a save dies or fails, the old file is there or the new one, whole.

strace does the killing and the failing. It attaches to forks of a child that has imported everything and saved once:
this file run as a program.
"""

import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest
from child import environment
from saved import save_small

MEMORY = {"brk", "futex", "madvise", "mmap", "mprotect", "mremap", "munmap"}  # their failures are no OSError


class Saver:
    """A process that saves over a path again and again, under an eye of strace each time."""

    def __init__(self, path):
        elsewhere = pathlib.Path(sys.executable).parent
        self.log = path.parent.parent / "log"
        self.child = subprocess.Popen(
            [sys.executable, __file__, path],
            env=environment(pathlib.Path(__file__).parent),
            cwd=elsewhere,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def save(self, *injection):
        """The outcome of a save, and its system calls."""
        self.tell("fork")
        pid = self.child.stdout.readline().strip()
        command = ["strace", "-o", self.log, *injection, "-p", pid]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            attached = strace.stderr.readline()
            if "attached" in attached:
                self.tell("save")
            strace.communicate()
        if "attached" not in attached:
            pytest.skip(f"strace may not attach: {attached}")
        return self.child.stdout.readline().strip(), self.log.read_text().splitlines()

    def tell(self, word):
        self.child.stdin.write(f"{word}\n")
        self.child.stdin.flush()


@pytest.fixture(params=["file", "link"])
def saver(tmp_path, request):
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "net.npz"
    save_small(path)
    named = path
    if request.param == "link":
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "folder").symlink_to("../models")
        named = tmp_path / "links" / "net.npz"
        named.symlink_to("folder/net.npz")
    saver = Saver(named)
    saver.path, saver.named, saver.old = path, named, path.read_bytes()
    with saver.child:
        assert saver.child.stdout.readline() == "ready\n"
        outcome, calls = saver.save()
        assert outcome == "saved"
        saver.new = path.read_bytes()
        assert saver.new != saver.old
        saver.calls = calls_of(calls)
        yield saver
        saver.child.stdin.close()


def calls_of(log):
    """(name, its how manyth) of each system call of a save: behind the getppid, before the outcome is written."""
    names = [line.split("(")[0] for line in log]
    names = names[names.index("getppid") + 1 :]
    names = names[: len(names) - 1 - names[::-1].index("write")]
    assert {"openat", "write", "fsync", "close", "getrandom"} < set(names)
    return [(name, names[: i + 1].count(name)) for i, name in enumerate(names)]


def links(saver):
    """What is in the folder of the link, should there be one."""
    names = os.listdir(saver.named.parent)
    return {name: os.path.islink(saver.named.parent / name) for name in names} if saver.named != saver.path else None


def place_back(saver):
    for name in os.listdir(saver.path.parent):
        os.unlink(saver.path.parent / name)
    saver.path.write_bytes(saver.old)
    saver.path.chmod(0o604)


def test_killed_at_any_system_call(saver):
    found, linked = [], links(saver)
    for name, count in saver.calls:
        place_back(saver)
        outcome, log = saver.save("-e", f"inject={name}:signal=KILL:when={count}")
        assert outcome == "killed", log[-1]
        content = saver.path.read_bytes()
        assert content in (saver.old, saver.new), log[-1]
        assert links(saver) == linked, log[-1]
        found.append(content == saver.new)
    assert found == sorted(found)  # the old one until some call, the new one from then on
    assert set(found) == {False, True}


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_any_system_call_fails(saver, error):
    outcomes, linked = {}, links(saver)
    for name, count in saver.calls:
        if name in MEMORY:
            continue
        place_back(saver)
        outcome, log = saver.save("-e", f"inject={name}:error={error}:when={count}")
        (where,) = [line for line in log if "INJECTED" in line]
        assert os.listdir(saver.path.parent) == [saver.path.name], where
        assert links(saver) == linked, where
        assert stat.S_IMODE(saver.path.stat().st_mode) == 0o604, where
        content = saver.path.read_bytes()
        if outcome == "saved":  # where no more was lost than an answer, or the durability of the new name
            assert content == saver.new, where
        else:
            assert (where, outcome) == (where, f"OSError {saver.named}")
            assert content == saver.old, where
        outcomes.setdefault(name, []).append(outcome.split()[0])
    assert all(outcome == "OSError" for name in ("write", "rename") for outcome in outcomes[name])


def main(path):
    net, _ = save_small(path)
    net.params *= 2
    net.save(path.replace("net", "warm"))
    os.unlink(path.replace("net", "warm"))
    print("ready", flush=True)
    while os.read(0, 5):
        child = os.fork()
        if child:
            status = os.waitpid(child, 0)[1]
            if status:
                print("killed" if os.WIFSIGNALED(status) else "crashed", flush=True)
            continue
        os.write(1, f"{os.getpid()}\n".encode())
        os.read(0, 5)
        os.getppid()  # a mark for strace
        try:
            net.save(path)
            outcome = "saved"
        except OSError as error:
            outcome = f"OSError {error.filename}"
        os.write(1, f"{outcome}\n".encode())
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
