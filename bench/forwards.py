"""A network's outputs in each library, the way its own users are told to get them fast. Times nothing.

BUILDERS[library](net) gives a function of a NumPy batch (B, I) that returns the outputs, a NumPy array (B, O).
"""

import functools

import numpy as np
import peers


def fastmlp(net):
    return net


def numpy(net):
    W, b = peers.numpy_weights(net)
    hidden, (V, c) = list(zip(W[:-1], b[:-1], strict=True)), (W[-1], b[-1])

    def call(h):
        for W, b in hidden:
            h = h @ W
            h += b
            np.maximum(h, 0, out=h)
        z = h @ V
        z += c
        return z

    return call


def sklearn(net):
    from sklearn import config_context
    from sklearn.neural_network import MLPRegressor

    X = np.zeros((2, net.sizes[0]), np.float32)
    y = np.zeros((2, net.sizes[-1]) if net.sizes[-1] > 1 else 2, np.float32)
    model = peers.hand_to_sklearn(MLPRegressor(hidden_layer_sizes=net.sizes[1:-1], batch_size=2), net, X, y)

    def call(x):
        with config_context(assume_finite=True):
            return model.predict(x)

    return call


def torch(net):
    from torch import from_numpy, inference_mode

    module = peers.torch_module(net).eval()

    def call(x):
        with inference_mode():
            return module(from_numpy(x)).numpy()

    return call


def torchscript(net):
    from torch import from_numpy, inference_mode, jit, zeros

    module = jit.freeze(jit.trace(peers.torch_module(net).eval(), zeros(1, net.sizes[0])))

    def call(x):
        with inference_mode():
            return module(from_numpy(x)).numpy()

    return call


def onnxruntime(net):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = peers.THREADS
    model = peers.onnx_model(net).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def jax(net):
    import jax

    compiled = jax.jit(functools.partial(peers.jax_logits, peers.jax_params(net)))
    return lambda x: np.asarray(compiled(x))


BUILDERS = {
    "fastmlp": fastmlp,
    "NumPy": numpy,
    "scikit-learn": sklearn,
    "PyTorch": torch,
    "TorchScript": torchscript,
    "ONNX Runtime": onnxruntime,
    "JAX": jax,
}
