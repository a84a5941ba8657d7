"""fastmlp: small neural networks on the CPU, fast, with the same bits whatever the batch, thread count or CPU.

>>> import fastmlp
>>> net = fastmlp.MLP([4, 64, 64, 2])
"""

from typing import TYPE_CHECKING, Any

try:
    from fastmlp import _core as _core
except ImportError as error:
    if error.name != "fastmlp":
        raise
    raise ImportError(
        "this is the source folder of fastmlp, without its compiled modules: start Python outside the clone's root "
        "to get the installed package, or build in place with `python setup.py build_ext --inplace`"
    ) from None

from fastmlp import handmade, kernels, losses, metrics
from fastmlp.callbacks import Callback, EarlyStopping
from fastmlp.history import History
from fastmlp.mlp import MLP
from fastmlp.optimizers import SGD, Adam, AdamW, Lion, RMSprop
from fastmlp.regularization import Regularization
from fastmlp.siamese import SiameseMLP
from fastmlp.threads import cpu_info, set_num_threads

if TYPE_CHECKING:
    from fastmlp import plots
    from fastmlp.plots import LossCurveDisplay
    from fastmlp.saving import FormatError, load
    from fastmlp.schedules import Cosine, OneCycle, ReduceOnPlateau, StepDecay

__version__ = "0.1.0"
__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "AdamW",
    "Callback",
    "Cosine",
    "EarlyStopping",
    "FormatError",
    "History",
    "Lion",
    "LossCurveDisplay",
    "OneCycle",
    "RMSprop",
    "ReduceOnPlateau",
    "Regularization",
    "SiameseMLP",
    "StepDecay",
    "cpu_info",
    "handmade",
    "kernels",
    "load",
    "losses",
    "metrics",
    "plots",
    "set_num_threads",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """What is imported when first asked for, for the sake of those who do not: json and zipfile, plots, schedules."""
    if name in ("load", "FormatError"):
        from fastmlp import saving

        return getattr(saving, name)
    if name in ("plots", "LossCurveDisplay"):
        import fastmlp.plots as plots

        return plots if name == "plots" else plots.LossCurveDisplay
    if name in ("Cosine", "OneCycle", "ReduceOnPlateau", "StepDecay"):
        from fastmlp import schedules

        return getattr(schedules, name)
    raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")
