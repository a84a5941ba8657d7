"""What tests compare with: exact fused multiply-adds, units in the last place, names, and networks on the bench.

Independent of the C core: the products' chains of roundings are redone here in exact arithmetic.
"""

from fractions import Fraction

import numpy as np
import pytest

ACTIVATIONS = (  # in the order of the C enum; impulse and heaviside have no derivative
    "identity",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "softplus",
    "tanh",
    "sigmoid",
    "impulse",
    "heaviside",
    "exp",
)
DIFFERENTIABLE = ACTIVATIONS[:9]  # and exp, which explodes in a hidden layer
LOSSES = (  # in the order of the C enum
    "squared_error",
    "softmax_cross_entropy",
    "binary_cross_entropy",
    "absolute_error",
    "huber",
    "quantile",
    "poisson",
    "focal",
    "binary_focal",
)
OF_CLASSES = ("softmax_cross_entropy", "focal")
KINKED = ("absolute_error", "quantile")
SIZES = (1, 3, 7, 15, 16, 17, 31, 33, 63, 65, 97)


def unit_roundoff(dtype):
    """u: the largest relative error of one rounding."""
    return float(np.finfo(dtype).eps) / 2


def same(a, b):
    """The same shape, dtype and bits, except that a NaN is a NaN."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    signs = np.signbit(a) == np.signbit(b)
    return bool(np.all((a == b) & signs | np.isnan(a) & np.isnan(b)))


def ulp(x, dtype):
    """The spacing of `dtype` at |x|, never less than at its smallest normal number."""
    info = np.finfo(dtype)
    return np.spacing(np.clip(np.abs(x), info.tiny, info.max).astype(dtype)).astype(np.float64)


def fma(a, b, c, dtype):
    """a * b + c with one rounding to `dtype`, of arrays whose exact results are normal or 0."""
    if np.dtype(dtype) == np.float32:
        return _fma32(a, b, c)
    return np.vectorize(_fma64, otypes=[np.float64])(a, b, c)


def _fma32(a, b, c):
    # The product of two float32 is exact in float64. The sum is rounded to odd there, so that the rounding to float32
    # (53 >= 24 + 2 bits) sees on which side of a tie the exact sum lies.
    p, c = np.asarray(a, np.float64) * np.asarray(b, np.float64), np.asarray(c, np.float64)
    s = p + c
    v = s - p
    error = (p - (s - v)) + (c - v)  # TwoSum: s + error is the exact sum
    even = np.asarray(s).view(np.int64) % 2 == 0
    towards = np.where(error > 0, np.inf, -np.inf)
    return np.where((error != 0) & even, np.nextafter(s, towards), s).astype(np.float32)


def _fma64(a, b, c):
    return float(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))  # int / int rounds correctly


def product(A, B, bias=None):
    """A (M, K) B (K, N) + bias: ascending chains of fused multiply-adds from zero, the bias added last."""
    dtype = A.dtype
    chain = np.zeros((A.shape[0], B.shape[1]), dtype)
    for k in range(A.shape[1]):
        chain = fma(A[:, k, None], B[k], chain, dtype)
    return chain + (dtype.type(0) if bias is None else bias) + dtype.type(0)


def product_bound(A, B, bias=None):
    """Largest error of A B + bias from K fused roundings, the bias's and one for the oracle: (K + 2) u sum |a||b|."""
    total = np.abs(A).astype(np.float64) @ np.abs(B).astype(np.float64) + (0 if bias is None else np.abs(bias))
    return (A.shape[1] + 2) * unit_roundoff(A.dtype) * total


def targets(rng, loss, rows, outputs, dtype=np.float64):
    """Targets that suit a loss, as every one of them wants them."""
    if loss in OF_CLASSES:
        return rng.integers(0, outputs, rows)
    if loss == "poisson":
        return rng.poisson(2, (rows, outputs)).astype(dtype)
    if loss in ("binary_cross_entropy", "binary_focal"):
        return rng.integers(0, 2, (rows, outputs)).astype(dtype)
    return rng.normal(size=(rows, outputs)).astype(dtype)


def layer_activations(net):
    """One name per layer, as `reference` wants them."""
    return [*net.activations, net.output_activation]


def randomise(net, rng, scale=0.5):
    """Gives every weight and bias of a network a value, so that no gradient is 0 by accident."""
    for array in (*net.weights, *net.biases):
        if array is not None:
            array[...] = rng.normal(size=array.shape) * scale


def relative_error(found, wanted):
    """The largest difference over the largest entry of what is wanted."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-300))


def differences(f, arrays, step=1e-3):
    """df/d(entry) of every entry of `arrays`, by 4th-order central differences: an error of O(step^4)."""
    grads = []
    for array in arrays:
        grad = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            kept, values = array[index], {}
            for k in (-2, -1, 1, 2):
                array[index] = kept + k * step
                values[k] = f()
            array[index] = kept
            grad[index] = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * step)
        grads.append(grad)
    return grads


# Random streams: Philox4x32-10, ten rounds of two multiplications (Salmon et al. 2011).


def philox4x32(counter, key):
    """The four 32-bit words (n, 4) that belong to the counters (n, 4) under one key of two words."""
    c0, c1, c2, c3 = np.array(counter, np.uint64).T
    k0, k1 = (int(word) for word in key)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ np.uint64(k0), p1 & low, (p0 >> half) ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def draws(seed, n, index, stream):
    """n integers of 64 bits: number i is half i % 2 of block i // 2. Streams: 0 weights, 1 orders."""
    block = np.arange((n + 1) // 2, dtype=np.uint64)
    counter = np.stack(
        [block & 0xFFFFFFFF, block >> 32, np.full_like(block, index), np.full_like(block, stream)], axis=-1
    )
    words = philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32)).astype(object)
    return (words[:, 0::2] + words[:, 1::2] * 2**32).reshape(-1)[:n].tolist()


def uniform(n, limit, seed, layer):
    """n numbers limit (2 u - 1), u the upper 53 bits of a draw: a layer's initial weights."""
    return limit * (2 * (np.array([r >> 11 for r in draws(seed, n, layer, 0)]) * 2.0**-53) - 1)


def kept(p, rows, ld, seed, step, layer):
    """Which hidden units (rows, ld), padding included, dropout of chance p leaves: their words are at least p 2^32."""
    block = np.arange(rows * ld // 4, dtype=np.uint64)
    counter = np.stack([block, *(np.full_like(block, word) for word in (0, step, 2 + 256 * layer))], axis=-1)
    words = philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))
    return words.reshape(rows, ld) >= int(p * 2**32)


def permutation(n, seed, epoch):
    """The order of an epoch: Fisher-Yates from the end, place i swapped with place floor(draw (i + 1) / 2^64)."""
    order, draw = list(range(n)), draws(seed, n, epoch, 1)
    for i in reversed(range(1, n)):
        other = draw[i] * (i + 1) >> 64
        order[i], order[other] = order[other], order[i]
    return np.array(order)


def refused(net, call, error, match):
    """The call raises the error and leaves the network as it was."""
    before, state = net.params.copy(), repr(net.optimizer_state())
    with pytest.raises(error, match=match):
        call()
    assert same(net.params, before)
    assert repr(net.optimizer_state()) == state


def attempt(call, errors=(ValueError, TypeError)):
    """The error with which a call refuses, or None if it went through."""
    try:
        call()
    except errors as error:
        return error
    return None


def flattened(grads):
    """The arrays of a list of (dW, db), without the missing biases."""
    return [g for pair in grads for g in pair if g is not None]


def copied_then_poisoned(grads):
    """Copies of gradients that are NaN afterwards, so that whoever fills them again has to."""
    copies = [g.copy() for g in flattened(grads)]
    for g in flattened(grads):
        g[...] = np.nan
    return copies
