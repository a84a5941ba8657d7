"""Any number of threads gives the same bits, in inference and training; and how the number is chosen."""

import io
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import pytest
from child import environment

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
    wanted, probabilities, wrong = net(X), net.predict_proba(X), []

    def predict(worker):
        for i in range(40):
            if not oracle.same(net(X), wanted) or not oracle.same(net(X[worker + i]), wanted[worker + i]):
                wrong.append(worker)
            if not oracle.same(net.predict_proba(X[i:]), probabilities[i:]):
                wrong.append(worker)

    workers = [threading.Thread(target=predict, args=(i,)) for i in range(32)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_threads_that_fit_one_network_take_turns_or_are_refused(rng):
    X, t = problem(rng, np.float32, 7)
    settings = {"epochs": 3, "batch_size": 50, "optimizer": Adam(), "threads": 1}
    net, alone = (MLP([130, 64, 7], seed=1) for _ in range(2))
    start, refusals = threading.Barrier(8), []

    def fit():
        start.wait()
        refusals.append(oracle.attempt(lambda: net.fit(X, t, **settings), RuntimeError))

    workers = [threading.Thread(target=fit) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(refusals) == 8
    assert None in refusals
    assert all(refusal is None or "being trained already" in str(refusal) for refusal in refusals)
    for _ in range(refusals.count(None)):
        alone.fit(X, t, **settings)
    assert oracle.same(net.params, alone.params)


class Waiting(io.StringIO):
    """A standard output whose writer waits until others have done what they want to."""

    def __init__(self):
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def write(self, text):
        self.reached.set()
        self.go_on.wait(60)
        return super().write(text)


def test_a_network_that_another_thread_trains_is_refused(rng, monkeypatch):
    X, t = problem(rng, np.float32, 7)
    net, alone = (MLP([130, 64, 7], seed=1) for _ in range(2))
    alone.fit(X, t, epochs=1)
    state, wanted, out = alone.optimizer_state(), alone(X), Waiting()
    monkeypatch.setattr("sys.stdout", out)
    trainer = threading.Thread(target=net.fit, args=(X, t), kwargs={"epochs": 1, "verbose": True})
    trainer.start()
    try:
        assert out.reached.wait(60)
        for use in (
            lambda: net.fit(X, t),
            lambda: net.train_step(X, t, Adam()),
            net.reset_optimizer,
            lambda: net.set_optimizer_state(state),
        ):
            with pytest.raises(RuntimeError, match=r"being trained already, .* by another thread"):
                use()
        assert oracle.same(net(X), wanted)
    finally:
        out.go_on.set()
        trainer.join()
    net.fit(X, t, epochs=1)
    alone.fit(X, t, epochs=1)
    assert oracle.same(net.params, alone.params)


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
        ({"OMP_NUM_THREADS": "1000"}, "256"),
        ({"FASTMLP_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
    ],
)
def test_the_environment_says_how_many(variables, wanted, tmp_path):
    kept = {k: v for k, v in environment().items() if k not in ("FASTMLP_NUM_THREADS", "OMP_NUM_THREADS")}
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


def test_padding_stays_zero_when_another_training_takes_the_workers(rng):
    # a step that finds the pool taken goes on alone, perhaps in mid-step: its chunks must go together all the same
    X, y = rng.normal(size=(2000, 100)).astype(np.float32), rng.integers(0, 10, 2000)
    nets = [MLP([100, 48, 10], seed=seed) for seed in range(2)]
    fastmlp.set_num_threads(2)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(net.fit, X, y, epochs=200, batch_size=2000) for net in nets]:
            done.result()
    full = MLP([100, 48, 10])
    for array in (*full.weights, *full.biases):
        array[...] = 1
    for net in nets:
        assert not net.params[full.params == 0].any()
        assert not net.grads[full.params == 0].any()
