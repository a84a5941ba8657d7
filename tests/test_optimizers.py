"""The optimizers: the written formulas step by step, what they leave alone, and whose state goes on."""

import dataclasses
from functools import partial

import numpy as np
import oracle
import pytest
from oracle import LOSSES
from saved import facts

import fastmlp
from fastmlp import MLP, SGD, Adam, AdamW, Lion, RMSprop, reference

SETTINGS = [
    SGD(),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True),
    SGD(0.1, momentum=0.5, weight_decay=0.1),
    SGD(0.1, momentum=0.5, nesterov=True, weight_decay=0.1),
    Adam(),
    Adam(0.05, beta1=0.5, beta2=0.9, epsilon=1e-4),
    Adam(0.01, weight_decay=0.1),
    AdamW(),
    AdamW(0.05, weight_decay=0.3),
    RMSprop(),
    RMSprop(0.01, rho=0.5, momentum=0.9, epsilon=1e-4, weight_decay=0.1),
    Lion(0.01),
    Lion(0.01, beta1=0.5, beta2=0.7, weight_decay=0.3),
]


class Oracle:
    """The formulas of `reference`, for every weight and bias of a network, in float64."""

    def __init__(self, net, optimizer):
        self.settings = {name: value for name, value in dataclasses.asdict(optimizer).items() if value is not None}
        self.rule, self.step = optimizer.rule, 0
        if isinstance(optimizer, AdamW):
            self.settings["decoupled"] = self.settings.pop("weight_decay")
        self.arrays = [a.astype(np.float64) for a in parameters(net)]
        self.slots = [
            [np.zeros(a.shape) for a in self.arrays]
            for _ in range({"sgd": 1, "adam": 2, "rmsprop": 2, "lion": 1}[self.rule])
        ]

    def update(self, grads):
        self.step += 1
        for i, g in enumerate(grads):
            settings = dict(self.settings)
            if self.arrays[i].ndim == 1:  # decay touches weights, never biases
                settings.update({name: 0.0 for name in ("weight_decay", "decoupled") if name in settings})
            g, state = g.astype(np.float64), [slot[i] for slot in self.slots]
            if self.rule == "adam":
                settings["step"] = self.step
            new = getattr(reference, f"{self.rule}_step")(self.arrays[i], g, *state, **settings)
            self.arrays[i] = new[0]
            for slot, value in zip(self.slots, new[1:], strict=True):
                slot[i] = value


def parameters(net):
    return [a for pair in zip(net.weights, net.biases, strict=True) for a in pair if a is not None]


@pytest.mark.parametrize("optimizer", SETTINGS, ids=repr)
@pytest.mark.parametrize("bias", [True, False])
def test_steps_follow_the_formulas(rng, dtype, optimizer, bias):
    net = MLP([5, 17, 3], activation="tanh", bias=bias, loss="squared_error", dtype=dtype, seed=1)
    oracle.randomise(net, rng)
    wanted = Oracle(net, optimizer)
    X, y = rng.normal(size=(8, 5)).astype(dtype), rng.normal(size=(8, 3)).astype(dtype)
    for step in range(1, 21):
        _, grads = net.loss_and_grad(X, y)
        wanted.update(oracle.flattened(grads))  # the gradient is the network's own: only the step is judged
        net.update(optimizer)
        # A step rounds its dozen operations, relative to W or to what W moves by, and m and v carry such errors on:
        # 16 u (1 + the largest W) a step. A wrong formula moves W by a share of learning_rate, thousands of times that.
        u = oracle.unit_roundoff(dtype)
        for found, exact in zip(parameters(net), wanted.arrays, strict=True):
            assert np.abs(found - exact).max() <= 16 * u * step * (1 + np.abs(exact).max())
        state = net.optimizer_state()
        assert (state["optimizer"], state["steps"]) == (optimizer, step)


@pytest.mark.parametrize("optimizer", [SETTINGS[2], SETTINGS[5], SETTINGS[9], *SETTINGS[11:13]], ids=repr)
def test_the_state_is_that_of_the_formulas(rng, optimizer):
    net = MLP([5, 17, 3], dtype="float64", loss="squared_error")
    X, y = rng.normal(size=(8, 5)), rng.normal(size=(8, 3))
    wanted = Oracle(net, optimizer)
    for _ in range(7):
        _, grads = net.loss_and_grad(X, y)
        wanted.update(oracle.flattened(grads))
        net.update(optimizer)
    state = net.optimizer_state()
    assert state["optimizer"] == optimizer
    assert len(state["slots"]) == len(wanted.slots)
    for flat, slot in zip(state["slots"], wanted.slots, strict=True):
        # the slots have the layout of params: seen through the views of a network of the same shape
        viewer = MLP([5, 17, 3], dtype="float64", loss="squared_error")
        viewer.params[...] = flat
        for found, exact in zip(parameters(viewer), slot, strict=True):
            assert oracle.relative_error(found, exact) <= 1e-14
    if isinstance(optimizer, (Adam, AdamW)):
        assert state["beta_powers"] == pytest.approx((optimizer.beta1**7, optimizer.beta2**7), rel=1e-15)


def test_the_powers_of_beta_are_running_products(rng):
    net = MLP([2, 2], dtype="float64", loss="squared_error")
    power = 1.0
    for _ in range(50):
        net.train_step(np.ones((1, 2)), np.ones((1, 2)), Adam(beta1=0.9))
        power *= 0.9
    assert net.optimizer_state()["beta_powers"][0] == power


def test_the_first_step_of_adam_moves_by_the_learning_rate(dtype):
    # m_hat / sqrt(v_hat) is the sign of the gradient, whatever its size
    net = MLP([1, 1], loss="squared_error", dtype=dtype, bias=False)
    for target in (-1e3, -1e-3, 1e-3, 1e3):
        net.weights[0][...] = 0
        net.reset_optimizer()
        net.train_step(np.ones((1, 1)), np.full((1, 1), target), Adam(0.25, epsilon=1e-30))
        assert net.weights[0][0, 0] == pytest.approx(0.25 * np.sign(target), rel=float(8 * np.finfo(dtype).eps))


@pytest.mark.parametrize("epsilon", [1e-8, 1e-45, 1e-300])
def test_what_has_no_gradient_does_not_move_however_small_epsilon_is(dtype, epsilon):
    net = MLP([3, 5, 2], dtype=dtype)
    kept = net.params.copy()
    net.grads[...] = 0
    net.update(Adam(epsilon=epsilon))
    assert oracle.same(net.params, kept)  # padding too: 0 / (sqrt(0) + epsilon) is 0


@pytest.mark.parametrize(
    "optimizer", [SGD(0.1, weight_decay=0.5), Adam(0.1, weight_decay=0.5), AdamW(0.1, weight_decay=0.5)], ids=repr
)
def test_decay_shrinks_weights_and_never_biases(dtype, optimizer):
    net = MLP([3, 4, 2], loss="squared_error", dtype=dtype)
    for array in (*net.weights, *net.biases):
        array[...] = 2
    net.grads[...] = 0
    net.update(optimizer)
    assert all(np.all(b == 2) for b in net.biases)
    assert all(np.all(w < 2) for w in net.weights)
    if not isinstance(optimizer, Adam):
        assert all(np.allclose(w, 2 * (1 - 0.1 * 0.5), rtol=1e-6) for w in net.weights)


def test_update_leaves_the_gradient_as_it_is(rng, dtype):
    net = MLP([5, 17, 3], dtype=dtype)
    net.loss_and_grad(rng.normal(size=(8, 5)), rng.integers(0, 3, 8))
    kept = net.grads.copy()
    for optimizer in SETTINGS:
        net.update(optimizer)
        assert oracle.same(net.grads, kept)


def test_fit_writes_the_gradient_too(rng, dtype):
    X, t = rng.normal(size=(8, 5)).astype(dtype), rng.integers(0, 3, 8)
    net, twin = (MLP([5, 17, 3], dtype=dtype) for _ in range(2))
    net.fit(X, t, epochs=1, batch_size=8, shuffle=False)
    twin.loss_and_grad(X, t)
    assert oracle.same(net.grads, twin.grads)


def test_the_same_class_goes_on_and_another_starts_afresh(rng):
    X, t = rng.normal(size=(16, 5)), rng.integers(0, 3, 16)

    def run(*optimizers, reset=False):
        net = MLP([5, 8, 3], dtype="float64")
        for optimizer in optimizers:
            if reset:
                net.reset_optimizer()
            net.train_step(X, t, optimizer)
        return net

    a, b = Adam(0.01), Adam(0.02)
    assert (run(a, a, b).optimizer_state()["steps"], run(a, a, b).optimizer_state()["optimizer"]) == (3, b)
    assert not np.array_equal(run(a, b).params, run(a, b, reset=True).params)
    other = AdamW(0.01, weight_decay=0.0)
    afresh = run(a, a, other)
    assert (afresh.optimizer_state()["optimizer"], afresh.optimizer_state()["steps"]) == (other, 1)
    once = MLP([5, 8, 3], dtype="float64")
    once.params[...] = run(a, a).params
    once.train_step(X, t, other)
    assert oracle.same(once.params, afresh.params)
    net = run(a)
    net.reset_optimizer()
    assert (net.optimizer_state()["optimizer"], net.optimizer_state()["steps"]) == (None, 0)
    assert oracle.same(net.grads, run(a).grads)


@pytest.mark.parametrize("optimizer", SETTINGS[1::2], ids=repr)
def test_a_state_can_be_taken_and_given(rng, optimizer):
    X, t = rng.normal(size=(16, 5)), rng.integers(0, 3, 16)
    net, other = (MLP([5, 8, 3], dtype="float64", seed=s) for s in (1, 1))
    net.fit(X, t, epochs=3, batch_size=4, optimizer=optimizer)
    other.params[...] = net.params
    other.set_optimizer_state(net.optimizer_state())
    other.epochs_done = net.epochs_done  # the next epoch's order
    for each in (net, other):
        each.fit(X, t, epochs=3, batch_size=4, optimizer=optimizer)
    assert oracle.same(net.params, other.params)


def test_settings_are_immutable_and_compare_by_value():
    for optimizer in SETTINGS:
        with pytest.raises(dataclasses.FrozenInstanceError):
            optimizer.learning_rate = 1.0
        assert optimizer == type(optimizer)(**dataclasses.asdict(optimizer))
        assert hash(optimizer) == hash(type(optimizer)(**dataclasses.asdict(optimizer)))
    assert Adam() != AdamW(weight_decay=0.0)
    assert repr(SGD()) == "SGD(learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=0.0)"
    assert "clip_norm=1.0" in repr(SGD(0.1, clip_norm=1.0))
    assert repr(Adam()) == "Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08, weight_decay=0.0)"
    assert AdamW().weight_decay == 0.01


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(kind, {name: value})
     for kind, names in ((SGD, ("learning_rate", "momentum", "weight_decay")),
                         (Adam, ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")),
                         (AdamW, ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")),
                         (RMSprop, ("learning_rate", "rho", "momentum", "epsilon", "weight_decay")),
                         (Lion, ("learning_rate", "beta1", "beta2", "weight_decay")))
     for name in names for value in (-0.5, np.nan, np.inf, "much", None)]
    + [(Adam, {"beta1": 1.0}), (AdamW, {"beta2": 1.0}), (SGD, {"nesterov": "yes"})],
)  # fmt: skip
def test_settings_are_checked(kind, settings):
    ((name, _),) = settings.items()
    with pytest.raises((ValueError, TypeError), match=name):
        kind(**settings)


@pytest.mark.parametrize("value", [1e39, 1e308])
def test_settings_that_overflow_the_networks_numbers(value):
    optimizer, X, y = SGD(learning_rate=value), [[1.0]], [1]
    with pytest.raises(
        ValueError, match=r"learning_rate of the optimizer is 1e\+\d+, which overflows the network's flo"
    ):
        MLP([1, 2]).train_step(X, y, optimizer)
    MLP([1, 2], dtype="float64").train_step(X, y, optimizer)


def test_an_optimizer_is_an_object_or_a_name():
    net = MLP([3, 2])
    for bad in (Adam, 0.1, None, "rmsprob"):
        with pytest.raises((TypeError, ValueError), match="optimizer"):
            net.update(bad)
    with pytest.raises(ValueError, match=r"optimizer is 'adm' \(did you mean 'adam'\?\); it must be one of sgd, adam"):
        net.fit([[1.0, 2.0, 3.0]], [1], optimizer="adm")


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("sgd", SGD()), ("adam", Adam()), ("adamw", AdamW()), ("rmsprop", RMSprop()), ("lion", Lion())],
)
def test_a_name_is_short_for_the_defaults(rng, name, optimizer):
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    found = []
    for given in (name, optimizer):
        net = MLP([3, 5, 2], seed=1)
        net.fit(X, y, epochs=3, batch_size=8, optimizer=given)
        net.train_step(X, y, given)
        net.loss_and_grad(X, y)
        net.update(given)
        test = net.find_learning_rate(X, y, batch_size=8, steps=5, optimizer=given)
        found.append((net.params.copy(), test.losses))
    assert oracle.same(found[0][0], found[1][0])
    assert oracle.same(np.asarray(found[0][1]), np.asarray(found[1][1]))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "optimizer", [SGD(0.05, momentum=0.9, nesterov=True), Adam(0.01), AdamW(0.01), RMSprop(0.01), Lion(0.003)], ids=repr
)
def test_every_optimizer_lowers_every_loss(rng, loss, optimizer):
    X = rng.normal(size=(120, 4)).astype(np.float32)
    y = (X[:, :3] > 0).argmax(axis=1) if loss in oracle.OF_CLASSES else (X[:, :3] > 0).astype(np.float32)
    history = fastmlp.MLP([4, 32, 3], loss=loss).fit(X, y, epochs=40, batch_size=20, optimizer=optimizer)
    assert history.loss[-1] < 0.4 * history.loss[0]


@pytest.mark.parametrize("then", [SGD(), Adam(0.5), Adam(ema=0.5)], ids=repr)
def test_a_step_that_fails_changes_nothing(rng, dtype, then):
    X, y = rng.normal(size=(9, 5)).astype(dtype), rng.normal(size=9).astype(dtype)
    net = MLP([5, 8, 1], loss="squared_error", dtype=dtype)
    for _ in range(5):
        net.train_step(X, y, Adam())
    was, grads = facts(net), net.grads.copy()
    huge = np.full_like(X, np.finfo(dtype).max)
    for call in (net.train_step, partial(net.fit, epochs=1)):
        with pytest.raises(FloatingPointError):
            call(huge, y, optimizer=then)
        assert facts(net) == was
        assert oracle.same(net.grads, grads)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -5}, "steps is -5"),
        ({"steps": 2**70}, "steps is"),
        ({"beta_powers": (5, 1)}, r"beta_powers is \(5, 1\)"),
    ],
)
def test_states_that_no_optimizer_has(change, message):
    net = MLP([2, 2])
    net.train_step([[1.0, 2.0]], [0], Adam())
    was, state = facts(net), net.optimizer_state()
    with pytest.raises(ValueError, match=message):
        net.set_optimizer_state(state | change)
    for name in state:
        with pytest.raises(ValueError, match=f"state has no '{name}'"):
            net.set_optimizer_state({key: value for key, value in state.items() if key != name})
    assert facts(net) == was
