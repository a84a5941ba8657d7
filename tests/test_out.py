"""Results: `out=` is filled whatever it held, refused untouched where it does not fit, right or refused on overlap."""

from functools import partial

import numpy as np
import oracle
import pytest
from kernel_calls import KERNELS, calls, misaligned, read_only, results, strided

import fastmlp
from fastmlp import kernels


@pytest.mark.parametrize("name", KERNELS)
def test_out_is_filled_and_returned_whatever_it_held(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype)[name]
    wanted = results(kernel(*arrays, **extra))
    for poison in (np.nan, np.inf, 7):
        out = tuple(np.full_like(w, poison) for w in wanted)
        given = out if len(out) > 1 else out[0]
        returned = kernel(*arrays, **extra, out=given)
        for r, o, expected in zip(results(returned), out, wanted, strict=True):
            assert r is o
            assert oracle.same(o, expected)


@pytest.mark.parametrize("name", KERNELS)
def test_an_out_that_does_not_fit_is_refused_untouched(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype)[name]
    wanted = results(kernel(*arrays, **extra))
    other = np.float64 if dtype == np.float32 else np.float32
    misfits = {
        "dtype": lambda w: np.full(w.shape, 7, other),
        "integers": lambda w: np.full(w.shape, 7, np.int64),
        "too long": lambda w: np.full((w.shape[0] + 1, *w.shape[1:]), 7, dtype),
        "too deep": lambda w: np.full((1, *w.shape), 7, dtype),
        "read-only": lambda w: read_only(np.full(w.shape, 7, dtype)),
        "byte-swapped": lambda w: np.full(w.shape, 7, dtype.newbyteorder()),
    }
    for kind, misfit in misfits.items():
        for position in range(len(wanted)):
            out = [np.full_like(w, 7) for w in wanted]
            out[position] = misfit(wanted[position])
            with pytest.raises((ValueError, TypeError), match="out"):
                kernel(*arrays, **extra, out=tuple(out) if len(out) > 1 else out[0])
            assert all(np.all(o == 7) for o in out), kind
    with pytest.raises((ValueError, TypeError), match="out"):
        kernel(*arrays, **extra, out=wanted[0].tolist())
    with pytest.raises((ValueError, TypeError), match="out"):
        kernel(*arrays, **extra, out=(*tuple(wanted), wanted[0]))


@pytest.mark.parametrize("name", KERNELS)
def test_a_strided_out_is_right_or_refused(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype)[name]
    wanted = results(kernel(*arrays, **extra))
    for make in (strided, np.asfortranarray, lambda a: misaligned(a, 1), lambda a: np.flip(np.flip(a).copy())):
        out = tuple(make(np.full_like(w, 7)) for w in wanted)
        refusal = oracle.attempt(partial(kernel, *arrays, **extra, out=out if len(out) > 1 else out[0]))
        assert refusal is None or "out" in str(refusal)
        for o, w in zip(out, wanted, strict=True):
            assert np.array_equal(o, w) if refusal is None else np.all(o == 7)


@pytest.mark.parametrize("name", KERNELS)
def test_an_out_that_overlaps_is_right_or_refused(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype, rows=9, inputs=9, outputs=9)[name]
    wanted = results(kernel(*arrays, **extra))
    for shift in (-17, -1, 0, 1, 5, 9):
        for position in range(len(arrays)):
            for place in range(len(wanted)):
                array, shape = arrays[position], wanted[place].shape
                room = np.full(array.size + wanted[place].size + 64, 7, dtype)
                given = list(arrays)
                given[position] = room[32 : 32 + array.size].reshape(array.shape)
                given[position][...] = array
                out = [np.full_like(w, 7) for w in wanted]
                out[place] = room[32 + shift : 32 + shift + wanted[place].size].reshape(shape)
                refusal = oracle.attempt(partial(kernel, *given, **extra, out=tuple(out) if len(out) > 1 else out[0]))
                if refusal is None:
                    assert all(np.array_equal(o, w) for o, w in zip(out, wanted, strict=True)), (shift, position)
                else:
                    assert "out" in str(refusal)
                    assert np.array_equal(given[position], array)


@pytest.mark.parametrize("name", ["outer_gradient", "softmax_cross_entropy", "binary_cross_entropy", "squared_error"])
def test_outs_that_overlap_each_other_are_refused(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype, rows=9, inputs=9, outputs=9)[name]
    first, second = kernel(*arrays, **extra)
    room = np.full(first.size + second.size, 7, dtype)
    out = room[: first.size].reshape(first.shape), room[: second.size].reshape(second.shape)
    with pytest.raises(ValueError, match="out"):
        kernel(*arrays, **extra, out=out)
    assert np.all(room == 7)


def test_out_of_a_network(rng, dtype):
    net = fastmlp.MLP([9, 17, 7], dtype=dtype, seed=5)
    X = rng.normal(size=(11, 9)).astype(dtype)
    for x in (X, X[0], X[:1]):
        wanted = net(x)
        out = np.full_like(wanted, np.nan)
        assert net(x, out=out) is out
        assert oracle.same(out, wanted)
        for misfit in (out[..., :-1], out.astype(int), np.full((3, 3), 7, dtype), read_only(out), out.tolist()):
            with pytest.raises((ValueError, TypeError), match="out"):
                net(x, out=misfit)


@pytest.mark.parametrize("sizes", [[9, 9], [9, 17, 9]])
def test_out_of_a_network_may_be_its_input_but_not_its_parameters(rng, dtype, sizes):
    net = fastmlp.MLP(sizes, output_activation="tanh", dtype=dtype)
    X = rng.normal(size=(90, 9)).astype(dtype)
    for rows in (X, X[0], X[:1], X[:40]):
        wanted, given = net(rows), rows.copy()
        refusal = oracle.attempt(partial(net, given, out=given))
        assert oracle.same(given, wanted if refusal is None else rows)
        assert refusal is None or "out" in str(refusal)
    room = np.concatenate([X[0], X[0], X[0]])
    wanted = net(room[4:13].copy())
    net(room[4:13], out=room[:9])
    assert oracle.same(room[:9], wanted)
    wanted = net(X)
    for shift in (1, 8, 9, 300):  # a batch whose results land before and behind it in the same memory
        for first, second in ((0, shift), (shift, 0)):
            room = np.full(X.size + shift, np.nan, dtype)
            given, out = (room[at : at + X.size].reshape(X.shape) for at in (first, second))
            given[...] = X
            net(given, out=out)
            assert oracle.same(out, wanted)
    before = net.params.copy()
    for inside in (net.params[:9], net.params[3:12], net.biases[-1]):
        with pytest.raises(ValueError, match="out"):
            net(X[0], out=inside)
        assert oracle.same(net.params, before)


def test_inputs_and_results_do_not_share_memory(rng, dtype):
    net = fastmlp.MLP([9, 17, 7], dtype=dtype, seed=5)
    X = rng.normal(size=(4, 9)).astype(dtype)
    first = net(X)
    kept = first.copy()
    net(X + 1)
    assert oracle.same(first, kept)
    z = rng.normal(size=(4, 9)).astype(dtype)
    assert not np.shares_memory(kernels.identity(z), z)
