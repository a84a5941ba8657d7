"""The examples of the docstrings and of the README run, and every public function and class has one."""

import doctest
import importlib
import inspect
import pathlib
import pkgutil
import re

import pytest

import fastmlp
from fastmlp import digits

MODULES = [f"fastmlp.{module.name}" for module in pkgutil.iter_modules(fastmlp.__path__) if module.name != "__main__"]
README = pathlib.Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.parametrize("name", ["fastmlp", *MODULES])
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "sklearn" in name:
        pytest.importorskip("sklearn")
    pyplot, runner = without_screen(), doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        if pyplot is not None or not re.search("plot|Display", test.docstring):
            runner.run(test)
    assert runner.summarize().failed == 0
    if pyplot is not None:
        pyplot.close("all")


def without_screen():
    """Matplotlib's pyplot, drawing into memory; None where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot


@pytest.mark.skipif(not README.exists(), reason="only a clone and an sdist have the README")
def test_the_examples_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second, third = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    names = {}
    exec(first, names)
    assert names["accuracy"] > 0.95
    assert (names["again"].params == names["net"].params).all()
    exec(second, names)
    assert max(names["history"].val_metric) > 0.97
    assert len(names["history"].loss) <= 200
    pytest.importorskip("sklearn")
    exec(third, names)
    assert names["model"].score(names["X"], names["y"]) > 0.95


def public():
    """Every public name of fastmlp and its public modules, and the public methods of its classes."""
    modules = (fastmlp.kernels, fastmlp.losses, fastmlp.handmade, fastmlp.metrics, fastmlp.plots, digits)
    for module in (fastmlp, *modules):
        for name in getattr(module, "__all__", None) or dir(module):
            thing = getattr(module, name)
            if name.startswith("_") or not callable(thing) or not thing.__module__.startswith("fastmlp"):
                continue
            yield f"{module.__name__}.{name}", thing
            methods = dir(thing) if inspect.isclass(thing) and not issubclass(thing, Exception) else ()
            for method in methods:
                if callable(getattr(thing, method)) and (
                    not method.startswith("_") or (method == "__call__" and hasattr(thing, "predict"))
                ):
                    yield f"{module.__name__}.{name}.{method}", getattr(thing, method)


def test_every_public_name_has_an_example():
    without = [name for name, thing in public() if ">>>" not in (thing.__doc__ or "")]
    # an error and the two functions whose one promise is to raise have nothing to show
    exempt = {"fastmlp.FormatError", "fastmlp.kernels.impulse_derivative", "fastmlp.kernels.heaviside_derivative"}
    assert set(without) <= exempt
    assert len(list(public())) > 50
