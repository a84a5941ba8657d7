"""The libraries that stand beside fastmlp: which there are, and the weights of a fastmlp network handed to each.

Imports a library only when it is asked for. Runs nothing: forwards.py and epochs.py do that.
"""

import functools
import importlib
import os
import warnings

import numpy as np
import pytest

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
CPU_BUILD = "the CPU build, by the command that PyTorch's 'Get started' page shows for it"
PACKAGES = {  # modules a library needs, and how to get them
    "fastmlp": (("fastmlp",), "pip install ."),
    "NumPy": (("numpy",), "pip install numpy"),
    "scikit-learn": (("sklearn.neural_network",), "pip install '.[bench]'"),
    "PyTorch": (("torch",), CPU_BUILD),
    "TorchScript": (("torch",), CPU_BUILD),
    "ONNX Runtime": (("onnxruntime", "onnx"), "pip install '.[bench]'"),
    "JAX": (("jax",), "pip install '.[bench]'"),
}
MISSING = {}


def quietly(function):
    """The function, without the deprecations that a library raises about itself: they are no finding about fastmlp."""

    @functools.wraps(function)
    def call(*args):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return function(*args)

    return call


@quietly
def require(name):
    """Skip the benchmark where the library is not installed."""
    modules, install = PACKAGES[name]
    try:
        for module in modules:
            importlib.import_module(module)
    except ImportError as error:
        MISSING[name] = install
        pytest.skip(f"{name} is not installed ({error}); to have it: {install}")


def numpy_weights(net):
    """W (in, out) and b of each layer, contiguous copies."""
    return [np.ascontiguousarray(W.T) for W in net.weights], [b.copy() for b in net.biases]


def hand_to_sklearn(model, net, X, y, **options):
    """Give a scikit-learn model the network's weights. A first step on (X, y) makes it allocate its own."""
    model.partial_fit(X, y, **options)
    W, b = numpy_weights(net)
    if len(model.intercepts_[-1]) < len(b[-1]):  # two classes: one logistic output, the difference of the two
        W[-1], b[-1] = W[-1][:, 1:] - W[-1][:, :1], b[-1][1:] - b[-1][:1]
    for own, given in zip(model.coefs_ + model.intercepts_, W + b, strict=True):
        own[...] = given
    return model


def torch_module(net):
    import torch

    torch.set_num_threads(THREADS)
    layers = []
    for W, b in zip(net.weights, net.biases, strict=True):
        linear = torch.nn.Linear(W.shape[1], W.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(W)))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def onnx_model(net):
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, at, last = [], [], "x", len(net.weights) - 1
    for i, (W, b) in enumerate(zip(*numpy_weights(net), strict=True)):
        constants += [numpy_helper.from_array(W, f"W{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [at, f"W{i}", f"b{i}"], [f"z{i}"]))
        if i < last:
            nodes.append(helper.make_node("Relu", [f"z{i}"], [f"h{i}"]))
        at = f"h{i}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, net.sizes[0]])
    z = helper.make_tensor_value_info(f"z{last}", TensorProto.FLOAT, [None, net.sizes[-1]])
    graph = helper.make_graph(nodes, "mlp", [x], [z], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def jax_params(net):
    import jax.numpy as jnp

    return [(jnp.array(W), jnp.array(b)) for W, b in zip(*numpy_weights(net), strict=True)]


def jax_logits(params, h):
    import jax

    for W, b in params[:-1]:
        h = jax.nn.relu(h @ W + b)
    return h @ params[-1][0] + params[-1][1]
