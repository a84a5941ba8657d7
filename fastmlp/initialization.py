"""How weights begin: uniform or normal, with a spread that keeps activations or gradients at one size. Biases are 0.

Every number is drawn by the engine's counter-based generator and shaped by IEEE operations alone, so that a seed gives
the same weights on every machine.
"""

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp import _core
from fastmlp._names import HE_INITIALISED

INITS = ("auto", "he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "lecun_uniform", "lecun_normal", "zeros")


def draw_weights(W: NDArray[Any], init: str, activation: str, seed: int, layer: int) -> None:
    """Fill W (O, I) by one of INITS; "auto" is He's for the rectifiers, else Glorot's.

    He et al. 2015: variance 2 / fan_in. Glorot & Bengio 2010: 2 / (fan_in + fan_out). LeCun et al. 1998: 1 / fan_in.
    """
    fan_out, fan_in = W.shape
    if init == "auto":
        init = "he_uniform" if activation in HE_INITIALISED else "glorot_uniform"
    if init == "zeros":
        W[:] = 0
        return
    rule, distribution = init.split("_")
    inverse_variance = {"he": fan_in / 2, "glorot": (fan_in + fan_out) / 2, "lecun": fan_in}[rule]
    if distribution == "normal":
        W[:] = _normal(W.size, seed, layer).reshape(W.shape) / sqrt(inverse_variance)
    else:
        W[:] = _core.uniform(W.size, sqrt(3 / inverse_variance), seed, layer).reshape(W.shape)


def _normal(n: int, seed: int, layer: int) -> NDArray[np.float64]:
    """n standard normal numbers by the polar method (Marsaglia & Bray 1964), which needs a logarithm and a root."""
    pairs = _core.uniform(2 * (n + 64), 1.0, seed, layer).reshape(-1, 2)  # of a pair in the disc, 4 in 5, come two
    s = pairs[:, 0] * pairs[:, 0] + pairs[:, 1] * pairs[:, 1]
    inside = (s > 0) & (s < 1)
    s = s[inside]
    result: NDArray[np.float64] = (pairs[inside] * np.sqrt(-2 * _log(s) / s)[:, None]).ravel()[:n]
    return result


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(x) = e log 2 + 2 artanh((m - 1) / (m + 1)), x = m 2^e, by its series: NumPy's own differs between CPUs."""
    m, e = np.frexp(x)
    r = (m - 1) / (m + 1)  # -1/3 to 0
    square, series = r * r, np.zeros_like(r)
    for k in range(35, 0, -2):
        series = series * square + 1 / k
    result: NDArray[np.float64] = e * 0.6931471805599453 + 2 * r * series
    return result
