"""Single kernels beside NumPy and PyTorch, float32, results written to arrays that are given where the library can.

Every function below takes a library and gives (call, expected, tolerance): a call without arguments that returns the
result as an array or a tuple of them, and what it must be near, from the float64 twin.
"""

from functools import partial

import numpy as np
import peers
import pytest
from measure import per_call, race

import fastmlp
from fastmlp import kernels, reference

U = 2.0**-24  # float32's unit roundoff
PRODUCTS = [(14, 32, 64), (32, 64, 64), (32, 128, 784), (128, 128, 784), (128, 512, 784), (1024, 1024, 1024)]
GRADIENTS = [(32, 64, 64), (128, 128, 784)]
ELEMENTS = [(32, 64), (128, 512)]
LOGITS = [(32, 2), (128, 10), (1000, 100)]
# exp(z - max) carries |z - max| u, at most 25 u for the logits drawn here; a sum of 100 terms and a few roundings more
NEAR = 64 * U


def normal(*shape, scale=1):
    return scale * np.random.default_rng(0).standard_normal(shape, np.float32)


def matmul(library, rows, outputs, inputs):
    X, W = normal(rows, inputs), fastmlp.MLP([inputs, outputs]).weights[0]
    Wt, out = np.ascontiguousarray(W.T), np.empty((rows, outputs), np.float32)
    if library == "fastmlp":
        call = partial(kernels.matmul, X, W, out=out)
    elif library == "NumPy":
        call = partial(np.matmul, X, Wt, out=out)
    else:
        import torch

        call = partial(torch.mm, *map(torch.from_numpy, (X, Wt)), out=torch.from_numpy(out))
    # the bound of any order of summation, (n + 2) u sum |x| |w|
    return call, reference.matmul(X, W), (inputs + 2) * U * reference.matmul(abs(X), abs(W))


def outer_gradient(library, rows, outputs, inputs):
    dz, X = normal(rows, outputs), normal(rows, inputs)
    dW, db = np.empty((outputs, inputs), np.float32), np.empty(outputs, np.float32)

    def numpy():
        return np.matmul(dz.T, X, out=dW), np.sum(dz, axis=0, out=db)

    def torch():
        import torch

        z, x, w, b = map(torch.from_numpy, (dz, X, dW, db))
        return lambda: (torch.mm(z.T, x, out=w), torch.sum(z, 0, out=b))

    calls = {"fastmlp": partial(kernels.outer_gradient, dz, X, out=(dW, db)), "NumPy": numpy}
    call = calls[library] if library in calls else torch()
    bounds = [(rows + 2) * U * bound for bound in reference.outer_gradient(abs(dz), abs(X))]
    return call, reference.outer_gradient(dz, X), bounds


def relu(z, out):
    return np.maximum(z, 0, out=out)


def sigmoid(z, out):
    np.negative(z, out=out)
    np.exp(out, out=out)
    out += 1
    return np.reciprocal(out, out=out)


def gelu(z, out):
    np.multiply(z, np.float32(0.5**0.5), out=out)
    pytest.importorskip("scipy.special", reason="NumPy has no erf: its users take SciPy's").erf(out, out=out)
    out += 1
    out *= z
    out *= np.float32(0.5)
    return out


def logsumexp(z, out):
    a = z.max(axis=1)
    np.log(np.exp(z - a[:, None]).sum(axis=1), out=out)
    out += a
    return out


def softmax(z, out):
    np.subtract(z, z.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)
    return out


NUMPY = {"relu": relu, "tanh": np.tanh, "sigmoid": sigmoid, "gelu": gelu, "logsumexp": logsumexp, "softmax": softmax}


def torch_call(name, z, out):
    import torch

    z, out = torch.from_numpy(z), torch.from_numpy(out)
    return {
        "relu": lambda: torch.clamp_min(z, 0, out=out),
        "tanh": lambda: torch.tanh(z, out=out),
        "sigmoid": lambda: torch.sigmoid(z, out=out),
        "gelu": lambda: torch.nn.functional.gelu(z),
        "logsumexp": lambda: torch.logsumexp(z, 1, out=out),
        "softmax": lambda: torch.softmax(z, 1, out=out),
    }[name]


def function(library, name, *shape):
    """One array in, one out: activations and what sums over a row's classes."""
    z = normal(*shape, scale=2)
    out = np.empty(len(z) if name == "logsumexp" else z.shape, np.float32)
    if library == "fastmlp":
        call = partial(getattr(kernels, name), z, out=out)
    else:
        call = partial(NUMPY[name], z, out) if library == "NumPy" else torch_call(name, z, out)
    expected = getattr(reference, name)(z)
    return call, expected, NEAR * (1 + abs(expected))


def softmax_cross_entropy(library, n, classes):
    z, t, rows = normal(n, classes, scale=2), np.random.default_rng(1).integers(0, classes, n), np.arange(n)
    loss, dz = np.empty(n, np.float32), np.empty((n, classes), np.float32)

    def numpy():
        np.subtract(z, z.max(axis=1, keepdims=True), out=dz)
        np.negative(dz[rows, t], out=loss)
        np.exp(dz, out=dz)
        total = dz.sum(axis=1, keepdims=True)
        np.divide(dz, total, out=dz)
        np.add(loss, np.log(total[:, 0]), out=loss)
        dz[rows, t] -= 1
        return loss, dz

    def torch():
        import torch

        leaf, target = torch.from_numpy(z).requires_grad_(), torch.from_numpy(t)

        def call():
            losses = torch.nn.functional.cross_entropy(leaf, target, reduction="none")
            return losses.detach(), torch.autograd.grad(losses.sum(), leaf)[0]

        return call

    calls = {"fastmlp": partial(kernels.softmax_cross_entropy, z, t, out=(loss, dz)), "NumPy": numpy}
    expected = reference.softmax_cross_entropy(z, t)
    call = calls[library] if library in calls else torch()
    return call, expected, [NEAR * (1 + abs(result)) for result in expected]


CASES = [
    *((matmul, *shape) for shape in PRODUCTS),
    *((outer_gradient, *shape) for shape in GRADIENTS),
    *((function, name, *shape) for name in ("relu", "tanh", "sigmoid", "gelu") for shape in ELEMENTS),
    *((function, name, *shape) for name in ("logsumexp", "softmax") for shape in LOGITS),
    *((softmax_cross_entropy, *shape) for shape in LOGITS),
]


def case_name(case):
    """For example matmul 32x64x64: rows, outputs, inputs."""
    build, *args = case
    name = args.pop(0) if build is function else build.__name__
    return f"{name} {'x'.join(map(str, args))}"


@pytest.mark.parametrize("library", ["fastmlp", "NumPy", "PyTorch"])
@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_kernel(benchmark, case, library):
    peers.require(library)
    build, *args = case

    def timer(library):
        call, expected, tolerance = build(library, *args)
        result = call()
        if not isinstance(result, tuple):
            result, expected, tolerance = (result,), (expected,), (tolerance,)
        for got, wanted, bound in zip(result, expected, tolerance, strict=True):
            wrong = abs(np.asarray(got) - wanted) > bound
            assert not wrong.any(), f"{library} and the float64 twin differ in {wrong.sum()} elements"
        return per_call(benchmark, call)

    theirs = peers.quietly(timer)(library) if library != "fastmlp" else None
    race(benchmark, "kernel", case_name(case), library, timer("fastmlp"), theirs)
