"""What all benchmarks share: one thread for every library, the installed package in sight, the ratios at the end.

pytest bench                        everything, a few minutes
pytest bench -k "step and PyTorch"  a part
pytest bench --ratios FILE          the ratios as JSON too, so that two versions can be compared
pytest bench --threads 2            every library on two threads, on two CPUs
pytest bench --benchmark-disable    each benchmark once, without timing
"""

import importlib.machinery
import importlib.metadata
import json
import os
import pathlib
import platform
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
VERSIONS = ("numpy", "scikit-learn", "torch", "onnxruntime", "jax", "pytest-benchmark")

# `python -m pytest` puts the clone's root first on sys.path, where a source folder without compiled modules would stand
# before the installed package.
if not any((HERE.parent / "fastmlp" / f"_core{suffix}").exists() for suffix in importlib.machinery.EXTENSION_SUFFIXES):
    sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry or os.curdir).resolve() != HERE.parent]
sys.path.append(str(HERE))  # measure.py, peers.py and what builds on them, whatever pytest's import mode


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=1, help="threads of every library in bench/ (default: 1)")
    parser.addoption("--ratios", type=pathlib.Path, metavar="FILE", help="write the ratios there as JSON too")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Threads are set before numpy or a peer is imported; JAX listens to nothing but its flags and the affinity."""
    threads = str(config.getoption("threads"))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    if "numpy" in sys.modules and os.environ.get("OPENBLAS_NUM_THREADS") != threads:
        raise pytest.UsageError(f"numpy was imported too early to give it {threads} threads: run `pytest bench` alone")
    os.environ.update(dict.fromkeys((*names, "FASTMLP_NUM_THREADS", "NPROC"), threads))
    if threads == "1":
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(threads) :])
    config.option.benchmark_columns = config.option.benchmark_columns or ["min", "median", "max", "rounds"]


def pytest_collection_modifyitems(items):
    import measure

    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.benchmark(timer=measure.stopwatch))
            # one that fails before it is timed has said why already
            item.add_marker(pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"))


def _cpu_name():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package):
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return None


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    import measure
    import peers

    write = terminalreporter.write_line
    for name, install in peers.MISSING.items():
        write(f"not installed: {name}; to have it: {install}")
    lines = measure.ratio_tables(peers.PACKAGES)
    if lines:
        import fastmlp

        terminalreporter.section("time of the peer / time of fastmlp (above 1: fastmlp is faster)")
        for line in lines:
            write(line)
        info = fastmlp.cpu_info()
        machine = f"{_cpu_name()}, ISA {info['isa']}, threads {config.getoption('threads')}, float32"
        known = [f"Python {platform.python_version()}", f"fastmlp {fastmlp.__version__}", *map(_version, VERSIONS)]
        versions = ", ".join(filter(None, known))
        write(machine)
        write(versions)
        if config.getoption("ratios"):
            found = {"machine": machine, "versions": versions, "tables": measure.ratios()}
            config.getoption("ratios").write_text(json.dumps(found, indent=1) + "\n")
