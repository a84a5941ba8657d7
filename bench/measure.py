"""How two libraries are timed beside each other, and the table of ratios. Knows no library and sets no bar.

A round of fastmlp precedes every round of a peer, so that whatever else the machine does meets both. The ratio is the
fastest round of the peer over the fastest of those rounds of fastmlp.
"""

import timeit

ROUND = 0.01  # seconds that a round of calls lasts at least
_results = {}  # table -> case -> library -> (its seconds, seconds of fastmlp beside it)
_now = 0.0


def stopwatch():
    """pytest-benchmark's timer: it stands still but for what `race` puts on it, the seconds of one step or call."""
    return _now


def race(benchmark, table, case, library, ours, theirs=None, rounds=15):
    """Time `theirs` in turn with `ours` (or `ours` alone); each is called without arguments and returns its seconds."""
    fastmlp, peer = [], []

    def lap():
        global _now
        peer.append((theirs or ours)())
        _now += peer[-1]

    benchmark.group = f"{table}: {case}"
    benchmark.pedantic(lap, setup=lambda: fastmlp.append(ours()) if theirs else None, rounds=rounds, warmup_rounds=1)
    if not benchmark.disabled:
        pair = min(peer), min(fastmlp or peer)
        _results.setdefault(table, {}).setdefault(case, {})[library] = pair
        benchmark.extra_info.update(seconds=pair[0], fastmlp_seconds=pair[1], ratio=pair[0] / pair[1])


def per_call(benchmark, function, *args):
    """A timer of function(*args): runs a round of calls and returns the seconds of one."""
    names = [f"a{i}" for i in range(len(args))]
    timer = timeit.Timer(f"f({', '.join(names)})", globals={"f": function, **dict(zip(names, args, strict=True))})
    number = 1
    while not benchmark.disabled and (seconds := timer.timeit(number)) < ROUND:
        number = max(2 * number, int(0.8 * number * ROUND / seconds))
    return lambda: timer.timeit(number) / number


def ratios():
    """table -> case -> library -> its seconds, fastmlp's beside it, and their ratio: for JSON."""
    return {
        table: {
            case: {library: {"seconds": a, "fastmlp": b, "ratio": a / b} for library, (a, b) in row.items()}
            for case, row in cases.items()
        }
        for table, cases in _results.items()
    }


def ratio_tables(order):
    """Lines of text: for each table its cases as rows, fastmlp's time and the ratios of the libraries as columns."""
    lines = []
    for table, cases in _results.items():
        columns = [name for name in order if name != "fastmlp" and any(name in row for row in cases.values())]
        body = [["", "fastmlp us", *columns]]
        for case, row in cases.items():
            best = min(ours for _, ours in row.values())
            ratios = [f"{row[name][0] / row[name][1]:.2f}" if name in row else "-" for name in columns]
            body.append([case, f"{1e6 * best:.2f}", *ratios])
        widths = [max(map(len, column)) for column in zip(*body, strict=True)]
        body[0][0] = table
        widths[0] = max(widths[0], len(table))
        for row in body:
            lines.append("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]))
        lines.append("")
    return lines
