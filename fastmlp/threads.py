"""How many threads fastmlp may use. Decides a number; starts nothing (csrc/threads.c does, when work is worth it).

The result never depends on the number: only the time does.
"""

import os

from fastmlp import _core
from fastmlp._names import check_whole

MOST = 256  # threads that csrc/threads.c has room for

_chosen: int | None = None


def _cgroup_cpus() -> float:
    """CPUs that the control group's quota allows, infinity where there is none."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as file:
            quota = file.read()
        with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as file:
            period = file.read()
        return int(quota) / int(period) if int(quota) > 0 else float("inf")
    except (OSError, ValueError):
        return float("inf")


def _from_environment() -> int | None:
    for name in ("FASTMLP_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()
        if text.isdecimal() and int(text) > 0 and (int(text) <= MOST or name.startswith("OMP")):
            return min(int(text), MOST)
        if text and name.startswith("FASTMLP"):
            raise ValueError(f"{name} is {text!r}; it must be a whole number from 1 to {MOST}")
    return None


def num_threads(threads: int | None = None) -> int:
    """How many threads to use at most: `threads`, else what set_num_threads, the environment or the machine says."""
    global _chosen
    if threads is not None:
        return check_whole("threads", threads, 1, MOST)
    if _chosen is None:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _chosen = _from_environment() or max(1, int(min(cpus, _cgroup_cpus(), MOST)))
    return _chosen


def set_num_threads(n: int) -> None:
    """Set how many threads fastmlp uses at most, for all networks of this process.

    Parameters
    ----------
    n : int
        At least 1, at most 256. Until it is set: ``FASTMLP_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the CPUs that
        affinity and control group allow. Work too small to share runs on one thread whatever the number, and
        results have the same bits for any.

    Raises
    ------
    ValueError
        If n is not a whole number from 1 to 256.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.set_num_threads(1)
    """
    global _chosen
    _chosen = check_whole("n", n, 1, MOST)


def cpu_info() -> dict[str, object]:
    """What computes: the ISA in use, those that could be, and the number of threads.

    Returns
    -------
    dict
        ``isa``: the instruction set in use; ``isas``: all that this CPU and build offer, which the environment variable
        ``FASTMLP_ISA`` may name; ``threads``: how many threads are used at most.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.cpu_info()["isa"] in ("scalar", "avx2", "avx512", "neon")
    True
    """
    return {"isa": _core.isa(), "isas": _core.supported_isas(), "threads": num_threads()}
