"""Every activation and its derivative: error in units of the last place, and what happens at 0, infinity and NaN."""

import numpy as np
import oracle
import pytest
from oracle import ACTIVATIONS, DIFFERENTIABLE

from fastmlp import kernels, reference

mpmath = pytest.importorskip("mpmath")
mpmath.mp.prec = 120

# name -> the exact value and the exact derivative, for mpmath
EXACT = {
    "identity": (lambda z: z, lambda z: mpmath.mpf(1)),
    "relu": (lambda z: max(z, 0), lambda z: mpmath.mpf(z > 0)),
    "leaky_relu": (lambda z: z if z > 0 else z / 100, lambda z: mpmath.mpf(1) if z > 0 else mpmath.mpf(1) / 100),
    "elu": (lambda z: z if z > 0 else mpmath.expm1(z), lambda z: mpmath.mpf(1) if z > 0 else mpmath.exp(z)),
    "gelu": (lambda z: z * mpmath.ncdf(z), lambda z: mpmath.ncdf(z) + z * mpmath.npdf(z)),
    "silu": (lambda z: z / (1 + mpmath.exp(-z)), lambda z: (1 + mpmath.exp(-z) * (1 + z)) / (1 + mpmath.exp(-z)) ** 2),
    "softplus": (lambda z: mpmath.log1p(mpmath.exp(z)), lambda z: 1 / (1 + mpmath.exp(-z))),
    "tanh": (mpmath.tanh, lambda z: mpmath.sech(z) ** 2),
    "exp": (mpmath.exp, mpmath.exp),
    "sigmoid": (lambda z: 1 / (1 + mpmath.exp(-z)), lambda z: mpmath.exp(-z) / (1 + mpmath.exp(-z)) ** 2),
}
EXACT_NAMES = ("identity", "relu")
ULPS = {"leaky_relu": 1.51, "exp": 1, "tanh": 2, "sigmoid": 4, "softplus": 4, "silu": 4, "elu": 4}
# leaky_relu: 0.01 is rounded by half a unit, at most one unit of a product in a lower binade, and the product by half


def sample(dtype, n):
    """Both signs: every binade that matters, evenly where the functions bend, and the places where they run out."""
    rng = np.random.default_rng(3)
    spread = np.exp2(rng.uniform(-40, 8, n)) * rng.choice([-1, 1], n)
    edges = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        87.0,
        88.7,
        103.0,
        709.0,
        745.0,
        -87.0,
        -88.7,
        -103.0,
        -709.0,
        -745.0,
        1e4,
        -1e4,
        1e30,
        -1e30,
    ]
    edges += [np.log(2) * k / 2 for k in range(-60, 61)]  # where an exponential's argument is reduced
    return np.concatenate([spread, rng.uniform(-10, 10, n), rng.uniform(-110, 110, n // 4), edges]).astype(dtype)


def exact(function, z):
    """Correctly rounded to float64, twice: a value and what it leaves."""
    values = [function(mpmath.mpf(float(v))) for v in z]
    high = np.array([float(v) for v in values])
    low = np.array([float(v - mpmath.mpf(h)) for v, h in zip(values, high, strict=True)])
    return high, low


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "exp"])
def test_values_are_within_their_units_of_the_last_place(dtype, name):
    z = sample(dtype, 1500)
    high, low = exact(EXACT[name][0], z)
    found = getattr(kernels, name)(z)
    assert found.dtype == dtype
    if name in EXACT_NAMES:
        assert np.array_equal(found, high)
        return
    largest = np.finfo(dtype).max
    assert np.all(found[high > largest] == np.inf)
    found, z, high, low = (a[high <= largest] for a in (found, z, high, low))
    error = np.abs((found.astype(np.float64) - high) - low)
    if name == "gelu":
        assert np.all(error <= 2 * oracle.ulp(z, dtype))
        return
    normal = np.abs(high) >= np.finfo(dtype).tiny
    assert normal.sum() > 2000
    assert np.all(error[normal] <= ULPS[name] * oracle.ulp(high[normal], dtype))
    assert np.all((found[~normal] == 0) | (error[~normal] <= ULPS[name] * oracle.ulp(high[~normal], dtype)))


@pytest.mark.parametrize("name", [n for n in (*DIFFERENTIABLE, "exp") if n not in EXACT_NAMES])
def test_float32_values_over_a_denser_sample(name):
    # the reference errs by some 2^-50, nothing beside float32's 2^-24
    z = sample(np.float32, 60_000)
    wanted = getattr(reference, name)(z)
    found, largest = getattr(kernels, name)(z), np.finfo(np.float32).max
    assert np.all(found[wanted > largest] == np.inf)
    z, found, wanted = (a[wanted <= largest] for a in (z, found, wanted))
    error = np.abs(found - wanted)
    normal = np.abs(wanted) >= np.finfo(np.float32).tiny
    bound = 2 * oracle.ulp(z, np.float32) if name == "gelu" else (ULPS[name] + 1e-5) * oracle.ulp(wanted, np.float32)
    assert np.all(error[normal] <= bound[normal])


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(dtype, name):
    # A derivative is a factor of dz and at most about 1.1. The worst is gelu's, Phi(z) + z phi(z): the exponent z^2 / 2
    # is rounded, so that phi errs by some (z^2 / 2 + 3) u relatively, which z phi(z) <= 0.25 makes less than 2 eps;
    # every other one is at most three roundings of factors that err by 4 ulp. Hence 8 eps of max(1, value).
    # silu's 1 - s keeps the error of s, up to 2 eps, and z multiplies it until s is 1, which it is from z = 40 on.
    z = sample(dtype, 1500)
    high, low = exact(EXACT[name][1], z)
    found = getattr(kernels, f"{name}_derivative")(z)
    assert found.dtype == dtype
    if name in EXACT_NAMES:
        assert np.array_equal(found, high)
    error = np.abs((found.astype(np.float64) - high) - low)
    own = 2 * np.minimum(np.abs(z), 40) if name == "silu" else 0
    assert np.all(error <= (8 + own) * np.finfo(dtype).eps * np.maximum(1, np.abs(high)))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_derivative_is_its_function_differentiated(name):
    # 4th-order differences in float64: h^4 f5 / 30 < 1e-12 and 1.5 eps |f| / h < 4e-12 at h = 1e-3, |f| <= 9
    z, h = np.linspace(-9, 9, 1001) + 1e-2, 1e-3  # none within 2 h of the kinks at 0
    f = getattr(kernels, name)
    slope = (8 * (f(z + h) - f(z - h)) - (f(z + 2 * h) - f(z - 2 * h))) / (12 * h)
    assert np.abs(getattr(kernels, f"{name}_derivative")(z) - slope).max() <= 1e-11


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "impulse", "heaviside"])
def test_the_reference_tells_the_same(name):
    z = sample(np.float64, 300)
    functions = [name] if name in ("impulse", "heaviside") else [name, f"{name}_derivative"]
    for function in functions:
        wanted, found = getattr(reference, function)(z), getattr(kernels, function)(z)
        assert np.all(np.abs(found - wanted) <= 1e-14 * np.maximum(1, np.abs(z)))


def test_steps_and_masks_are_exact(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    z = np.array([0.0, -0.0, tiny, -tiny, 1, -1, np.inf, -np.inf, np.nan], dtype)
    assert oracle.same(kernels.impulse(z), np.array([1, 1, 0, 0, 0, 0, 0, 0, 0], dtype))
    assert oracle.same(kernels.heaviside(z), np.array([1, 1, 1, 0, 1, 0, 1, 0, 0], dtype))
    assert oracle.same(kernels.relu_mask(z), np.array([0, 0, 1, 0, 1, 0, 1, 0, 0], dtype))
    assert oracle.same(kernels.relu_mask(z)[:8], kernels.relu_derivative(z)[:8])


def test_relu_keeps_nan_and_knows_one_zero(dtype, size):
    for position in range(size):
        z = np.full(size, -0.0, dtype)
        z[position] = np.nan
        h = kernels.relu(z)
        assert np.isnan(h[position])
        assert not np.signbit(np.delete(h, position)).any()


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "exp"])
def test_nan_stays_nan_alone(dtype, size, name):
    z = np.linspace(-2, 2, size).astype(dtype)
    clean = getattr(kernels, name)(z)
    for position in range(size):
        bad = z.copy()
        bad[position] = np.nan
        h = getattr(kernels, name)(bad)
        assert np.isnan(h[position])
        assert oracle.same(np.delete(h, position), np.delete(clean, position))


def test_limits_at_infinity(dtype):
    limits = {
        "identity": (-np.inf, np.inf),
        "relu": (0, np.inf),
        "leaky_relu": (-np.inf, np.inf),
        "elu": (-1, np.inf),
        "softplus": (0, np.inf),
        "tanh": (-1, 1),
        "sigmoid": (0, 1),
        "exp": (0, np.inf),
    }
    for name, wanted in limits.items():
        assert tuple(getattr(kernels, name)(np.array([-np.inf, np.inf], dtype))) == wanted, name
    assert kernels.gelu(np.array([np.inf], dtype)) == np.inf
    assert kernels.silu(np.array([np.inf], dtype)) == np.inf


def test_exp_is_its_own_derivative(dtype):
    z = sample(dtype, 1000)
    assert oracle.same(kernels.exp_derivative(z), kernels.exp(z))


def test_symmetries_and_signs(dtype):
    z = sample(dtype, 1000)
    assert np.array_equal(kernels.tanh(-z), -kernels.tanh(z))
    assert np.all(np.abs(kernels.sigmoid(z) + kernels.sigmoid(-z) - 1) <= 2 * np.finfo(dtype).eps)
    assert np.all(kernels.sigmoid(z) >= 0)
    assert np.all(kernels.sigmoid(z) <= 1)
    assert np.all(kernels.softplus(z) >= 0)
    assert np.all(np.abs(kernels.tanh(z)) <= 1)
    assert np.all(kernels.elu(z) >= -1)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_element_has_the_same_bits_wherever_it_stands(rng, dtype, name):
    z = (rng.normal(size=97) * 10).astype(dtype)
    functions = [name] if name in ("impulse", "heaviside") else [name, f"{name}_derivative"]
    for function in functions:
        f = getattr(kernels, function)
        whole = f(z)
        assert oracle.same(np.concatenate([f(z[i : i + 1]) for i in range(97)]), whole)
        for first in range(1, 40):
            assert oracle.same(f(z[first:]), whole[first:])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_shapes_pass_through(name, dtype):
    for shape in ((5,), (2, 3), (0,), (3, 0)):
        assert getattr(kernels, name)(np.zeros(shape, dtype)).shape == shape


@pytest.mark.parametrize("name", ["impulse", "heaviside"])
def test_steps_have_no_derivative(name):
    with pytest.raises(ValueError, match=name):
        getattr(kernels, f"{name}_derivative")(np.zeros(3))


def test_subnormal_inputs_are_used_exactly(dtype):
    info = np.finfo(dtype)
    z = np.array([info.tiny / 4, -info.tiny / 4, info.smallest_subnormal, -info.smallest_subnormal], dtype)
    assert oracle.same(kernels.identity(z), z)
    assert oracle.same(kernels.relu(z), z * np.array([1, 0, 1, 0], dtype) + dtype.type(0))
    assert not kernels.impulse(z).any()
    assert kernels.heaviside(z).tolist() == [1, 0, 1, 0]
