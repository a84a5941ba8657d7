"""Log-sum-exp, softmax and the losses: values, gradients, exact sums, action masks and what is not finite."""

import math

import numpy as np
import oracle
import pytest
from oracle import SIZES

from fastmlp import kernels, reference

CLASSES = (*SIZES[1:], 2, 100)
# the largest errors found, rounded up: of log-sum-exp in ulp of max(1, |max z|, |LSE|), of the loss of max(1, loss)
LARGEST = {"float32": (1.52, 2.24), "float64": (1.83, 2.36)}


def logits(rng, rows, K, dtype):
    """Rows of every kind: close together, far apart, far from zero, with ties."""
    z = rng.normal(size=(rows, K)) * np.exp(rng.uniform(-3, 6, (rows, 1))) + rng.normal(size=(rows, 1)) * 100
    z[::5] = np.round(z[::5])
    return z.astype(dtype)


def adversaries(rng, rows, K, dtype):
    """Rows that are hard on rounding, in turn: any, near ties, evenly spread, one dominating, far from 0, all alike."""
    z = np.empty((rows, K), dtype)
    for i in range(rows):
        size = np.exp(rng.uniform(-3, 6))
        row = rng.normal(size=K) * size
        if i % 6 == 1:
            row = size * (1 + rng.integers(-4, 5, K) * np.finfo(dtype).eps)
        elif i % 6 == 2:
            row = np.linspace(-1, 1, K) * rng.choice([1, 4, 80, 1e4])
        elif i % 6 == 3:
            row[rng.integers(K)] += rng.choice([1, 8, 16, 40, 1e6]) * size
        elif i % 6 == 4:
            row = rng.normal(size=K) + rng.choice([-1e30, -1e6, -1000, 1000, 1e6, 1e30])
        elif i % 6 == 5:
            row = np.full(K, rng.uniform(-3, 3) - np.log(K))  # LSE near 0, where a + log S cancels
        z[i] = row
    return z


def errors_of_rows(rng, rows, K, dtype):
    """The largest errors of the log-sum-exp and of the cross-entropy, in ulp of what is promised."""
    mpmath = pytest.importorskip("mpmath")
    z = adversaries(rng, rows, K, dtype)
    found, worst_lse, worst_loss = kernels.logsumexp(z), 0.0, 0.0
    classes = np.stack([z.argmax(axis=1), z.argmin(axis=1), rng.integers(0, K, rows)])
    losses = [kernels.softmax_cross_entropy(z, t)[0] for t in classes]
    with mpmath.workprec(200):
        for i, row in enumerate(z):
            a = float(row.max())
            log_S = mpmath.log(mpmath.fsum(mpmath.exp(mpmath.mpf(float(v)) - a) for v in row))
            scale = max(1, abs(a), abs(float(a + log_S)))
            worst_lse = max(worst_lse, float(abs(float(found[i]) - a - log_S)) / oracle.ulp(scale, dtype))
            for t, loss in zip(classes, losses, strict=True):
                true_loss = log_S + a - mpmath.mpf(float(row[t[i]]))
                error = float(abs(float(loss[i]) - true_loss)) / oracle.ulp(max(1, float(true_loss)), dtype)
                worst_loss = max(worst_loss, error)
    return worst_lse, worst_loss


@pytest.mark.parametrize("K", range(2, 101))
def test_log_sum_exp_and_cross_entropy_against_mpmath(rng, dtype, K):
    lse, loss = errors_of_rows(rng, 12, K, dtype)
    assert lse <= 4
    assert loss <= 4


@pytest.mark.exhaustive
def test_more_rows_err_no_more_than_told(rng, dtype):
    worst = np.max([errors_of_rows(rng, 300, K, dtype) for K in range(2, 101)], axis=0)
    print(f"{dtype}: log-sum-exp {worst[0]:.4f}, cross-entropy {worst[1]:.4f}")
    assert np.all(worst <= LARGEST[dtype.name])


def test_the_docstrings_tell_the_largest_errors():
    for i, kernel in enumerate((kernels.logsumexp, kernels.softmax_cross_entropy)):
        single, double = LARGEST["float32"][i], LARGEST["float64"][i]
        assert f"errs by at most {single:.2f} ulp of max(1, " in kernel.__doc__.lower()
        assert f" in float32, {double:.2f} in float64 (samples of" in " ".join(kernel.__doc__.split())


def test_the_loss_of_a_sure_answer_does_not_cancel():
    # log(1 + e^-20) = 2.061e-9, where LSE - z_t would give 0; rounding S = 1 + e^-20 costs u / 2e-9 of its logarithm
    loss, _ = kernels.softmax_cross_entropy(np.array([[20.0, 0.0]]), [0])
    assert loss[0] == pytest.approx(math.log1p(math.exp(-20)), rel=1.1e-16 / 2e-9 + 1e-14)
    assert kernels.softmax_cross_entropy(np.float32([[9, 0]]), [0])[0] == pytest.approx(1.234e-4, rel=1e-3)


@pytest.mark.parametrize("spread", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("centre", [0.0, 1e4, -1e4])
def test_finite_at_large_logits_and_rows_sum_exactly(rng, dtype, centre, spread):
    eps = np.finfo(dtype).eps
    for K in range(2, 101):
        z = (rng.uniform(-spread, spread, (4, K)) + centre).astype(dtype)
        z[0, :2] = centre + spread, centre - spread
        t = rng.integers(0, K, 4)
        p, (loss, dz) = kernels.softmax(z), kernels.softmax_cross_entropy(z, t)
        for result in (p, loss, dz, kernels.logsumexp(z), kernels.log_softmax(z)):
            assert np.isfinite(result).all()
        # math.fsum is exact: up to 100 quotients, each rounded by at most u p, leave 1 within 4 eps
        for row in range(4):
            assert abs(math.fsum(p[row].tolist()) - 1) <= 4 * eps
            assert abs(math.fsum(dz[row].tolist())) <= 4 * eps


@pytest.mark.parametrize("K", CLASSES)
def test_the_fused_pass_is_log_softmax_and_softmax(rng, dtype, K):
    z = logits(rng, 40, K, dtype)
    t = rng.integers(0, K, 40)
    loss, dz = kernels.softmax_cross_entropy(z, t)
    assert np.array_equal(loss, -kernels.log_softmax(z)[np.arange(40), t])
    assert np.array_equal(dz, kernels.softmax(z) - np.eye(K, dtype=dtype)[t])


@pytest.mark.parametrize("K", CLASSES)
def test_values_equal_the_reference(rng, dtype, K):
    z = logits(rng, 40, K, dtype)
    t, y = rng.integers(0, K, 40), rng.random((40, K)).astype(dtype)
    u = oracle.unit_roundoff(dtype)
    # probabilities: z - a and the exponential are rounded, e^x (1 + x u): |x| e^x <= 1/e, and S has K terms
    bound = (K / 16 + 10) * u
    assert np.all(np.abs(kernels.softmax(z) - reference.softmax(z)) <= bound)
    scale = np.abs(z).max(axis=1, keepdims=True) + np.log(K) + 1
    assert np.all(np.abs(kernels.log_softmax(z) - reference.log_softmax(z)) <= 8 * u * 2 * scale)
    assert np.all(np.abs(kernels.softmax_cross_entropy(z, t)[1] - reference.softmax_cross_entropy(z, t)[1]) <= bound)
    # K terms of a few roundings each, then at most K / 16 + 4 roundings of their sum
    terms = (K / 16 + 4 + 8) * u * 2
    for name in ("squared_error", "binary_cross_entropy"):
        (loss, dz), (wanted, wanted_dz) = getattr(kernels, name)(z, y), getattr(reference, name)(z, y)
        positive = np.abs(z) * (1 + np.abs(y)) + 1 if name == "binary_cross_entropy" else (z - y) ** 2 / 2
        assert np.all(np.abs(loss - wanted) <= terms * positive.sum(axis=1, dtype=np.float64))
        assert np.all(np.abs(dz - wanted_dz) <= 4 * u * (1 + np.abs(wanted_dz)))


SHAPED = [
    ("softmax_cross_entropy", {"label_smoothing": 0.1}),
    ("binary_cross_entropy", {"label_smoothing": 0.3}),
    ("focal", {"gamma": 2.0}),
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 0.0}),
    ("binary_focal", {"gamma": 2.0}),
    ("binary_focal", {"gamma": 1.0}),
    ("absolute_error", {}),
    ("huber", {"delta": 0.7}),
    ("quantile", {"q": 0.9}),
    ("poisson", {}),
]


@pytest.mark.parametrize(("name", "settings"), SHAPED, ids=str)
@pytest.mark.parametrize("K", CLASSES)
def test_every_loss_is_its_formula(rng, dtype, name, settings, K):
    z = (3 * rng.normal(size=(23, K))).astype(dtype)
    y = oracle.targets(rng, name, 23, K, dtype)
    loss, dz = getattr(kernels, name)(z, y, **settings)
    wanted_loss, wanted_dz = getattr(reference, name)(z, y, **settings)
    # a term takes some ten operations that err by 4 ulp at most, of values up to |z|^2, e^|z| or y log y; K add up
    eps = np.finfo(dtype).eps
    terms = np.abs(z.astype(np.float64)).max(axis=1) ** 2 + 10 + (np.exp(z.max(axis=1)) if name == "poisson" else 0)
    assert np.all(np.abs(loss - wanted_loss) <= 16 * eps * K * terms)
    assert np.all(np.abs(dz - wanted_dz) <= 64 * eps * (1 + np.abs(wanted_dz)))


@pytest.mark.parametrize(("name", "settings"), SHAPED, ids=str)
def test_every_loss_of_a_row_is_that_of_the_row_in_a_batch(rng, dtype, name, settings):
    for K in (2, 7, 16, 17, 33):
        z = (3 * rng.normal(size=(21, K))).astype(dtype)
        y = oracle.targets(rng, name, 21, K, dtype)
        loss, dz = getattr(kernels, name)(z, y, **settings)
        for i in range(21):
            one_loss, one_dz = getattr(kernels, name)(z[i], y[i], **settings)
            assert oracle.same(one_loss, loss[i])
            assert oracle.same(one_dz, dz[i])


def test_a_quantile_is_where_its_loss_is_least(rng):
    y = rng.exponential(size=4001)
    for q in (0.1, 0.5, 0.9):
        below, above = (
            kernels.quantile(np.full(4001, np.quantile(y, p)), y, q=q)[0].sum() for p in (q - 0.02, q + 0.02)
        )
        least = kernels.quantile(np.full(4001, np.quantile(y, q)), y, q=q)[0].sum()
        assert least < min(below, above)


def test_a_focal_loss_forgets_what_is_sure():
    for gamma in (0.0, 0.5, 2.0):
        loss, dz = kernels.focal([[40.0, 0.0], [2000.0, 0.0]], [0, 0], gamma=gamma)
        assert np.all((loss >= 0) & (loss < 1e-8))
        assert np.all(np.abs(dz) < 1e-8)
    loss, dz = kernels.focal([[0.0, 2000.0]], [0])
    assert loss == 2000
    assert dz.tolist() == [[-1, 1]]


def test_binary_cross_entropy_is_that_of_the_logits(dtype):
    z = np.array([[30, -30, 0, 1e4, -1e4, 1e30, -1e30]], dtype)
    for y, wanted in ((0, [30, 0, math.log(2), 1e4, 0, 1e30, 0]), (1, [0, 30, math.log(2), 0, 1e4, 0, 1e30])):
        for k, value in enumerate(wanted):
            loss, dz = kernels.binary_cross_entropy(z[:, k : k + 1], np.full((1, 1), y, dtype))
            assert loss[0] == pytest.approx(value, rel=1e-6, abs=1e-12)
            assert dz[0, 0] == kernels.sigmoid(z[0, k : k + 1])[0] - y
    # the loss of a sure right answer is e^-30, not 0
    assert kernels.binary_cross_entropy(z[:, :1], np.ones((1, 1), dtype))[0][0] == pytest.approx(
        math.exp(-30), rel=1e-6
    )


def test_one_row_is_a_row_of_the_batch(rng, dtype):
    for K in SIZES[1:]:
        z = logits(rng, 70, K, dtype)
        t, y = rng.integers(0, K, 70), rng.random((70, K)).astype(dtype)
        for name, extra in (
            *((n, ()) for n in ("logsumexp", "softmax", "log_softmax")),
            ("softmax_cross_entropy", (t,)),
            ("binary_cross_entropy", (y,)),
            ("squared_error", (y,)),
        ):
            kernel = getattr(kernels, name)
            batch = kernel(z, *extra)
            batch = batch if isinstance(batch, tuple) else (batch,)
            for i in (0, 15, 16, 69):
                row = kernel(z[i], *(e[i] for e in extra))
                row = row if isinstance(row, tuple) else (row,)
                for a, b in zip(row, batch, strict=True):
                    assert oracle.same(a, b[i]), name
            for rows in (1, 2, 17, 33):
                part = kernel(z[:rows], *(e[:rows] for e in extra))
                part = part if isinstance(part, tuple) else (part,)
                for a, b in zip(part, batch, strict=True):
                    assert oracle.same(a, b[:rows]), name


@pytest.mark.parametrize("K", [2, 7, 16, 17, 33, 100])
def test_masked_actions(rng, dtype, K):
    z = rng.normal(size=(20, K)).astype(dtype)
    masked = rng.random((20, K)) < 0.5
    masked[np.arange(20), rng.integers(0, K, 20)] = False
    z[masked] = -np.inf
    free, blocked = np.argmin(masked, axis=1), np.argmax(masked, axis=1)
    p = kernels.softmax(z)
    assert np.all(p[masked] == 0)
    assert np.allclose(p, reference.softmax(z), rtol=1e-5)
    assert np.all(kernels.log_softmax(z)[masked] == -np.inf)
    assert np.isfinite(kernels.log_softmax(z)[~masked]).all()
    assert np.isfinite(kernels.logsumexp(z)).all()
    loss, dz = kernels.softmax_cross_entropy(z, free)
    assert np.isfinite(loss).all()
    assert np.isfinite(dz).all()
    assert np.all(dz[masked] == 0)
    rows = masked.any(axis=1)
    loss, dz = kernels.softmax_cross_entropy(z[rows], blocked[rows])
    assert np.all(loss == np.inf)
    assert np.all(dz[np.arange(rows.sum()), blocked[rows]] == -1)


@pytest.mark.parametrize("K", [2, 3, 16, 17, 100])
@pytest.mark.parametrize("kind", ["all -inf", "+inf", "nan", "nan and +inf", "two +inf"])
def test_a_row_without_an_answer_is_nan_alone(rng, dtype, K, kind):
    clean = rng.normal(size=(9, K)).astype(dtype)
    t = rng.integers(0, K, 9)
    for place in range(K):
        z = clean.copy()
        if kind == "all -inf":
            z[4] = -np.inf
        elif kind == "two +inf":
            z[4, [place, place - 1]] = np.inf
        else:
            z[4, place] = np.inf if kind == "+inf" else np.nan
            if kind == "nan and +inf":
                z[4, place - 1] = np.inf
        assert np.isnan(kernels.softmax(z)[4]).all()
        loss, dz = kernels.softmax_cross_entropy(z, t)
        assert np.isnan(loss[4])
        assert np.isnan(dz[4]).all()
        lse = kernels.logsumexp(z)
        wanted = {"all -inf": -np.inf, "+inf": np.inf, "two +inf": np.inf}.get(kind, np.nan)
        assert np.array_equal(lse[4], wanted, equal_nan=True)
        for found, undisturbed in (
            (kernels.softmax(z), kernels.softmax(clean)),
            (kernels.log_softmax(z), kernels.log_softmax(clean)),
            (lse, kernels.logsumexp(clean)),
            (loss, kernels.softmax_cross_entropy(clean, t)[0]),
            (dz, kernels.softmax_cross_entropy(clean, t)[1]),
        ):
            assert oracle.same(np.delete(found, 4, 0), np.delete(undisturbed, 4, 0))


def test_huge_logits_are_finite(dtype):
    z = np.array([[1e30, -1e30, 0], [-1e30, -1e30, -1e30], [1e30, 1e30, 1e30]], dtype)
    loss, dz = kernels.softmax_cross_entropy(z, [1, 0, 2])
    for result in (loss, dz, kernels.logsumexp(z), kernels.softmax(z), kernels.log_softmax(z)):
        assert np.isfinite(result).all()
    assert kernels.softmax(z)[0].tolist() == [1, 0, 0]
    assert np.allclose(kernels.softmax(z)[1:], 1 / 3)
    y = np.ones((3, 3), dtype)
    for result in kernels.binary_cross_entropy(z, y):
        assert np.isfinite(result).all()


def test_labels_are_checked(dtype):
    z = np.zeros((3, 4), dtype)
    for t in ([0, 1, -1], [0, 1, 4], [0, 1, 2**40], [-(2**31), 0, 0]):
        with pytest.raises(ValueError, match=r"\bt\b"):
            kernels.softmax_cross_entropy(z, t)
    for t in ([0, 1, 1.5], [0, 1, np.nan]):
        with pytest.raises((ValueError, TypeError), match=r"\bt\b"):
            kernels.softmax_cross_entropy(z, t)
    with pytest.raises(ValueError, match=r"\bt\b.*\(2,\)"):
        kernels.softmax_cross_entropy(z, [0, 1])
    with pytest.raises(ValueError, match=r"\bt\b"):
        kernels.softmax_cross_entropy(z, [[0, 1, 2]])
    for t in (np.uint8([0, 1, 3]), np.int32([0, 1, 3]), [0, 1, 3]):
        assert kernels.softmax_cross_entropy(z, t)[0] == pytest.approx(math.log(4))


@pytest.mark.parametrize("name", ["binary_cross_entropy", "squared_error"])
def test_targets_are_never_broadcast(name, dtype):
    z = np.zeros((3, 4), dtype)
    for shape in ((3,), (4,), (1, 4), (3, 1), (4, 3), (3, 4, 1)):
        with pytest.raises(ValueError, match=r"\by\b"):
            getattr(kernels, name)(z, np.zeros(shape, dtype))


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax"])
def test_a_row_has_at_least_one_class(name, dtype):
    assert getattr(kernels, name)(np.empty((0, 3), dtype)).shape == ((0,) if name == "logsumexp" else (0, 3))
    with pytest.raises(ValueError, match="z"):
        getattr(kernels, name)(np.empty((3, 0), dtype))
    with pytest.raises(ValueError, match="z"):
        getattr(kernels, name)(np.zeros((2, 2, 2), dtype))
