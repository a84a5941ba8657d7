"""Compile a C program of bench/ with the core, as setup.py compiles that. Runs and measures nothing."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sysconfig

HERE = pathlib.Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"
FLAGS = ["-std=gnu11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-pthread", f"-I{CSRC}"]


def compiler() -> list[str]:
    """The C compiler that built this Python, or the system's."""
    for command in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return words[:1]
    raise SystemExit("no C compiler found; set CC")


def build(name: str, folder: pathlib.Path, *more: str) -> pathlib.Path:
    """bench/NAME.c and the core, as folder/NAME."""
    program = folder / name
    sources = [HERE / f"{name}.c", *sorted(CSRC.glob("*.c"))]
    subprocess.run([*compiler(), *FLAGS, *map(str, sources), "-o", str(program), *more, "-lm"], check=True)
    return program


def pin() -> int:
    """Keep this process and what it starts on the last of its CPUs, as the first is everybody's. Returns its number."""
    if not hasattr(os, "sched_setaffinity"):
        return -1
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    return cpu
