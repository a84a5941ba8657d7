"""The same work in each library, the way its own users are told to run it fast. Times nothing, checks nothing.

Every class takes the weights of a fastmlp network (ReLU between layers) and builds from them
    forward(net)                  a function from a NumPy batch (B, I) to the outputs, a NumPy array (B, O)
    training(net, X, y, batch)    a function that runs one epoch (gather shuffled rows, forward, softmax cross-entropy,
                                  backward, Adam at 1e-3) and returns (seconds, mean loss of its last step)
and is imported only when it is asked for. What a library cannot do, its class does not have.
"""

import functools
import importlib
import os
import time
import warnings

import numpy as np
import pytest

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
ADAM = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}  # everybody's defaults


def quietly(function):
    """The function, with deprecations of a library inside itself or by us left to the tests of that library."""

    @functools.wraps(function)
    def call(*args):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return function(*args)

    return call


def clocked(epoch):
    """An epoch that returns its loss, made to return (seconds, loss)."""

    def call():
        start = time.perf_counter()
        loss = epoch()
        return time.perf_counter() - start, loss

    return call


@quietly
def get(name):
    """The library's class; skips the benchmark where the library is not installed."""
    peer = ALL[name]
    for package in peer.packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            pytest.skip(f"{name} is not installed (to install: {peer.install}): {error}")
    return peer


class FastMLP:
    packages = ("fastmlp",)
    install = "pip install ."

    @staticmethod
    def forward(net):
        return net

    @staticmethod
    def training(net, X, y, batch):
        def epoch():
            # seconds of the epoch: fit's one look for bad values, once a fit however many epochs, is no part of a step
            history = net.fit(X, y, epochs=1, batch_size=batch)
            return history.seconds[0], history.loss[0]

        return epoch


class NumPy:
    packages = ("numpy",)
    install = "pip install numpy"

    @staticmethod
    def forward(net):
        W, b = [np.ascontiguousarray(w.T) for w in net.weights], [v.copy() for v in net.biases]

        def call(h):
            for w, v in zip(W[:-1], b[:-1], strict=True):
                h = h @ w
                h += v
                np.maximum(h, 0, out=h)
            z = h @ W[-1]
            z += b[-1]
            return z

        return call

    @staticmethod
    def training(net, X, y, batch):
        shapes = [w.T.shape for w in net.weights] + [v.shape for v in net.biases]
        ends = np.cumsum([0, *map(np.prod, shapes)])

        def views(flat):
            return [flat[i:j].reshape(s) for i, j, s in zip(ends[:-1], ends[1:], shapes, strict=True)]

        params, grads, m, v, scratch = (np.zeros(ends[-1], np.float32) for _ in range(5))
        P, G, layers = views(params), views(grads), len(net.weights)
        for mine, given in zip(P, [w.T for w in net.weights] + list(net.biases), strict=True):
            mine[...] = given
        rng, rows, t = np.random.default_rng(0), np.arange(batch), 0

        def gradient(h, targets):
            acts = [h]
            for l in range(layers):
                h = h @ P[l]
                h += P[layers + l]
                if l < layers - 1:
                    np.maximum(h, 0, out=h)
                    acts.append(h)
            h -= h.max(1, keepdims=True)
            true = h[rows, targets]
            np.exp(h, out=h)
            total = h.sum(1, keepdims=True)
            h /= total
            h[rows, targets] -= 1
            h /= batch
            for l in reversed(range(layers)):
                np.matmul(acts[l].T, h, out=G[l])
                h.sum(0, out=G[layers + l])
                if l:
                    h = h @ P[l].T
                    h *= acts[l] > 0
            return float((np.log(total[:, 0]) - true).mean())

        def update(t):
            np.multiply(grads, 1 - ADAM["beta1"], out=scratch)
            np.multiply(m, ADAM["beta1"], out=m)
            np.add(m, scratch, out=m)
            np.multiply(grads, grads, out=grads)
            np.multiply(grads, 1 - ADAM["beta2"], out=grads)
            np.multiply(v, ADAM["beta2"], out=v)
            np.add(v, grads, out=v)
            correction = (1 - ADAM["beta2"] ** t) ** 0.5
            np.sqrt(v, out=scratch)
            np.add(scratch, ADAM["epsilon"] * correction, out=scratch)
            np.divide(m, scratch, out=scratch)
            np.multiply(scratch, ADAM["learning_rate"] * correction / (1 - ADAM["beta1"] ** t), out=scratch)
            np.subtract(params, scratch, out=params)

        def epoch():
            nonlocal t
            for order in rng.permutation(len(X)).reshape(-1, batch):
                t += 1
                loss = gradient(X.take(order, axis=0), y.take(order))
                update(t)
            return loss

        return clocked(epoch)


class ScikitLearn:
    packages = ("sklearn.neural_network",)
    install = "pip install scikit-learn"

    @staticmethod
    def _with_weights(model, net, X, y, **options):
        """The model with the network's weights; a step on (X, y), undone at once, makes it allocate them."""
        model.partial_fit(X, y, **options)
        weights, biases = [w.T for w in net.weights], list(net.biases)
        if len(model.intercepts_[-1]) < len(biases[-1]):  # two classes: one logistic output is their difference
            weights[-1], biases[-1] = weights[-1][:, 1:] - weights[-1][:, :1], biases[-1][1:] - biases[-1][:1]
        for mine, given in zip(model.coefs_ + model.intercepts_, weights + biases, strict=True):
            mine[...] = given
        return model

    @classmethod
    def forward(cls, net):
        import sklearn
        from sklearn.neural_network import MLPRegressor

        sizes = net.sizes
        y = np.zeros((2, sizes[-1]) if sizes[-1] > 1 else 2, np.float32)
        model = MLPRegressor(hidden_layer_sizes=sizes[1:-1], batch_size=2)
        cls._with_weights(model, net, np.zeros((2, sizes[0]), np.float32), y)

        def call(x):
            with sklearn.config_context(assume_finite=True):
                return model.predict(x)

        return call

    @classmethod
    def training(cls, net, X, y, batch):
        import sklearn
        from sklearn.neural_network import MLPClassifier

        model = MLPClassifier(hidden_layer_sizes=net.sizes[1:-1], batch_size=batch, alpha=0, random_state=0)
        cls._with_weights(model, net, X[:batch], y[:batch], classes=np.arange(net.sizes[-1]))

        def epoch():
            with sklearn.config_context(assume_finite=True):
                return model.partial_fit(X, y).loss_

        return clocked(epoch)


class PyTorch:
    packages = ("torch",)
    install = "pip install torch --index-url https://download.pytorch.org/whl/cpu"

    @staticmethod
    def _module(net):
        import torch

        torch.set_num_threads(THREADS)
        layers = []
        for w, v in zip(net.weights, net.biases, strict=True):
            linear = torch.nn.Linear(w.shape[1], w.shape[0])
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(w)))
                linear.bias.copy_(torch.from_numpy(v))
            layers += [linear, torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1])

    @classmethod
    def forward(cls, net):
        import torch

        module = cls._module(net).eval()

        def call(x):
            with torch.inference_mode():
                return module(torch.from_numpy(x)).numpy()

        return call

    @classmethod
    def training(cls, net, X, y, batch):
        import torch

        module = cls._module(net)
        adam = torch.optim.Adam(module.parameters(), lr=ADAM["learning_rate"], fused=True)
        criterion = torch.nn.CrossEntropyLoss()
        X, y = torch.from_numpy(X), torch.from_numpy(y)

        def epoch():
            for order in torch.randperm(len(X)).split(batch):
                adam.zero_grad(set_to_none=True)
                loss = criterion(module(X[order]), y[order])
                loss.backward()
                adam.step()
            return loss.item()

        return clocked(epoch)


class TorchScript(PyTorch):
    training = None

    @classmethod
    def forward(cls, net):
        import torch

        module = cls._module(net).eval()
        frozen = torch.jit.freeze(torch.jit.trace(module, torch.zeros(1, net.sizes[0])))

        def call(x):
            with torch.inference_mode():
                return frozen(torch.from_numpy(x)).numpy()

        return call


class ONNXRuntime:
    packages = ("onnxruntime", "onnx")
    install = "pip install onnxruntime onnx"

    @staticmethod
    def forward(net):
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        nodes, constants, at, last = [], [], "x", len(net.weights) - 1
        for l, (w, v) in enumerate(zip(net.weights, net.biases, strict=True)):
            constants += [numpy_helper.from_array(np.ascontiguousarray(w.T), f"W{l}"), numpy_helper.from_array(v, f"b{l}")]
            nodes.append(helper.make_node("Gemm", [at, f"W{l}", f"b{l}"], [f"z{l}"]))
            if l < last:
                nodes.append(helper.make_node("Relu", [f"z{l}"], [f"h{l}"]))
            at = f"h{l}"
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, size])
                for name, size in (("x", net.sizes[0]), (f"z{last}", net.sizes[-1]))]
        graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return lambda x: session.run(None, {"x": x})[0]


class JAX:
    packages = ("jax",)
    install = "pip install jax"

    @staticmethod
    def _params(net):
        import jax.numpy as jnp

        return [(jnp.array(w.T), jnp.array(v)) for w, v in zip(net.weights, net.biases, strict=True)]

    @staticmethod
    def _logits(params, h):
        import jax

        for w, v in params[:-1]:
            h = jax.nn.relu(h @ w + v)
        return h @ params[-1][0] + params[-1][1]

    @classmethod
    def forward(cls, net):
        import jax

        compiled = jax.jit(functools.partial(cls._logits, cls._params(net)))
        return lambda x: np.asarray(compiled(x))

    @classmethod
    def training(cls, net, X, y, batch):
        import jax
        import jax.numpy as jnp

        def mean_loss(params, rows, targets):
            z = cls._logits(params, rows)
            return (jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, targets[:, None], axis=1)[:, 0]).mean()

        def step(X, y, state, order):
            params, m, v, t = state
            loss, grads = jax.value_and_grad(mean_loss)(params, X[order], y[order])
            t += 1
            b1, b2 = ADAM["beta1"], ADAM["beta2"]
            m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
            v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
            root = jnp.sqrt(1 - b2**t)
            rate, eps = ADAM["learning_rate"] * root / (1 - b1**t), ADAM["epsilon"] * root
            params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + eps), params, m, v)
            return (params, m, v, t), loss

        @functools.partial(jax.jit, donate_argnums=0)
        def scan(state, X, y, orders):
            return jax.lax.scan(functools.partial(step, X, y), state, orders)

        params, X, y = cls._params(net), jnp.array(X), jnp.array(y)
        state = (params, *(jax.tree.map(jnp.zeros_like, params) for _ in "mv"), jnp.float32(0))
        rng = np.random.default_rng(0)

        def epoch():
            nonlocal state
            state, losses = scan(state, X, y, rng.permutation(len(X)).astype(np.int32).reshape(-1, batch))
            return float(losses[-1])

        return clocked(epoch)


ALL = {
    "fastmlp": FastMLP,
    "NumPy": NumPy,
    "scikit-learn": ScikitLearn,
    "PyTorch": PyTorch,
    "TorchScript": TorchScript,
    "ONNX Runtime": ONNXRuntime,
    "JAX": JAX,
}
