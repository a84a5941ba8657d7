"""Any number of threads gives the same bits, in inference and training; and how the number is chosen."""

import os
import subprocess
import sys
import threading

import numpy as np
import oracle
import pytest

import fastmlp
from fastmlp import MLP, SGD, Adam, SiameseMLP


@pytest.fixture(autouse=True)
def restore_threads():
    before = fastmlp.cpu_info()["threads"]
    yield
    fastmlp.set_num_threads(before)


def problem(rng, dtype, outputs, rows=301, inputs=130):
    """Wide enough that a step's parts are worth sharing, and no size divides by 2 or 3."""
    return rng.normal(size=(rows, inputs)).astype(dtype), rng.integers(0, outputs, rows)


@pytest.mark.parametrize("optimizer", [SGD(0.05, momentum=0.9), Adam()], ids=repr)
def test_training_has_the_same_bits_for_any_number(rng, dtype, optimizer):
    X, t = problem(rng, dtype, 7)
    found = []
    for threads in (1, 2, 3, 5, 16):
        net = MLP([130, 260, 131, 7], activation=("relu", "tanh"), dtype=dtype, seed=1)
        history = net.fit(X, t, epochs=2, batch_size=150, optimizer=optimizer, threads=threads)
        found.append((net.params.copy(), history.loss))
    assert not np.array_equal(found[0][0], MLP([130, 260, 131, 7], dtype=dtype, seed=1).params)
    for params, loss in found[1:]:
        assert oracle.same(params, found[0][0])
        assert loss == found[0][1]


@pytest.mark.parametrize("batch_size", [150, 600])
def test_a_siamese_network_too(rng, dtype, batch_size):
    X, t = problem(rng, dtype, 2, rows=1501)
    found = []
    for threads in (1, 2, 3):
        net = SiameseMLP([130, 260, 70], dtype=dtype, seed=1)
        net.fit((X, X[::-1].copy()), t, epochs=2, batch_size=batch_size, threads=threads)
        found.append(net.params.copy())
    assert all(oracle.same(f, found[0]) for f in found)


def test_inference_and_gradients_have_the_same_bits_for_any_number(rng, dtype):
    X, t = problem(rng, dtype, 7, rows=1501)
    net = MLP([130, 260, 131, 7], activation="gelu", dtype=dtype)
    dz = rng.normal(size=(1501, 7)).astype(dtype)
    found = []
    for threads in (1, 2, 3, 7):
        fastmlp.set_num_threads(threads)
        assert fastmlp.cpu_info()["threads"] == threads
        loss, _ = net.loss_and_grad(X, t)
        grads = net.grads.copy()
        found.append((net(X), loss, grads, net.backward(X, dz), net.grads.copy(), net.predict_proba(X)))
    for results in found[1:]:
        assert all(oracle.same(a, b) for a, b in zip(results, found[0], strict=True))


def test_many_threads_predict_with_one_network(rng):
    X, _ = problem(rng, np.float32, 7)
    net = MLP([130, 64, 7])
    wanted, wrong = net(X), []

    def predict(worker):
        for i in range(40):
            if not oracle.same(net(X), wanted) or not oracle.same(net(X[worker + i]), wanted[worker + i]):
                wrong.append(worker)

    workers = [threading.Thread(target=predict, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_networks_fit_beside_each_other(rng):
    X, t = problem(rng, np.float32, 7)
    nets = [MLP([130, 140, 7], seed=1) for _ in range(4)]
    workers = [threading.Thread(target=net.fit, args=(X, t), kwargs={"epochs": 5, "threads": 2}) for net in nets]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not np.array_equal(nets[0].params, MLP([130, 140, 7], seed=1).params)
    assert all(oracle.same(net.params, nets[0].params) for net in nets)


@pytest.mark.parametrize("n", [0, -1, 1.5, "two", True, None, 10**6])
def test_the_number_is_checked(n):
    before = fastmlp.cpu_info()["threads"]
    with pytest.raises(ValueError, match=r"\bn\b"):
        fastmlp.set_num_threads(n)
    assert fastmlp.cpu_info()["threads"] == before


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"FASTMLP_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "5"}, "5"),
        ({"OMP_NUM_THREADS": "4,2"}, "4"),
        ({"FASTMLP_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
    ],
)
def test_the_environment_says_how_many(variables, wanted, tmp_path):
    kept = {k: v for k, v in os.environ.items() if k not in ("FASTMLP_NUM_THREADS", "OMP_NUM_THREADS")}
    kept["PYTHONPATH"] = os.path.dirname(os.path.dirname(fastmlp.__file__))
    code = "import fastmlp; print(fastmlp.cpu_info()['threads'])"
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_trains_on(rng):
    X, t = problem(rng, np.float32, 7)
    settings = {"epochs": 2, "batch_size": 150, "threads": 2}
    parent, child = (MLP([130, 260, 7], seed=1) for _ in range(2))
    parent.fit(X, t, **settings)  # the pool's threads exist now, and do not survive the fork
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child.fit(X, t, **settings)
            os.write(write, b"same" if oracle.same(child.params, parent.params) else b"other")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"same"
    os.waitpid(pid, 0)
