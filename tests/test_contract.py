"""One model, one answer: random networks have the same bits in any batch, with any threads, on any ISA, and resumed."""

import os
import pathlib
import subprocess
import sys

import fastmlp._core

CASES = pathlib.Path(__file__).with_name("contract_cases.py")


def test_random_networks(tmp_path, pytestconfig):
    """The cases are the same in every run; more of them by --cases."""
    cases = str(pytestconfig.getoption("cases"))
    runs = {
        isa: subprocess.Popen(
            [sys.executable, CASES, "0", cases],
            cwd=tmp_path,
            env=os.environ | {"FASTMLP_ISA": isa},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for isa in fastmlp._core.supported_isas()
    }
    found = {}
    for isa, run in runs.items():
        output, errors = run.communicate()
        assert run.returncode == 0, f"{isa}: {errors}"
        found[isa] = output.splitlines()
        assert len(found[isa]) == int(cases)
    for isa, lines in found.items():
        differing = [line.split()[0] for line, known in zip(lines, found["scalar"], strict=True) if line != known]
        assert not differing, f"{isa} differs from scalar in the cases {', '.join(differing[:20])}"
