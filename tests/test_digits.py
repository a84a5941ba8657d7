"""The bundled digits are scikit-learn's; the split keeps every class's share and never changes."""

import hashlib
import importlib.resources

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from fastmlp import digits


def test_the_digits_are_those_of_the_uci_test_set():
    X, y = digits.load()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((1797, 64), np.float32, (1797,), np.int64)
    pixels = (X * 16).astype(np.uint8)
    assert (pixels == X * 16).all()
    # of the values as scikit-learn 1.9 distributes them
    found = hashlib.sha256(pixels.tobytes() + y.astype(np.uint8).tobytes()).hexdigest()
    assert found == "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
    assert X.flags.c_contiguous


def test_the_digits_equal_scikit_learns():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    X, y = digits.load()
    assert np.array_equal(X, theirs.data / 16)
    assert np.array_equal(y, theirs.target)
    assert list(digits.FEATURES) == list(theirs.feature_names)


def test_origin_and_licence_are_shipped_beside_them():
    text = importlib.resources.files("fastmlp").joinpath("data/LICENSE.md").read_text(encoding="utf-8")
    for wanted in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "licenses/by/4.0", "Changes:"):
        assert wanted in text


@hypothesis.given(
    st.lists(st.integers(-2, 3), min_size=1, max_size=60),
    st.sampled_from([0.1, 0.25, 0.5, 0.9]),
    st.integers(0, 2**64 - 1),
)
def test_every_class_keeps_its_share(y, fraction, seed):
    train, test = digits.stratified_split(y, fraction, seed)
    assert sorted([*train, *test]) == list(range(len(y)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    for label in set(y):
        count = y.count(label)
        kept = sum(y[row] == label for row in test)
        if count == 1:
            assert kept == 0
        else:
            assert 1 <= kept <= count - 1
            assert abs(kept - count * fraction) <= 0.5 or kept in (1, count - 1)


def test_the_split_depends_on_the_seed_alone():
    y = digits.load()[1]
    splits = [digits.stratified_split(y, seed=seed)[1] for seed in (0, 0, 1)]
    assert (splits[0] == splits[1]).all()
    assert len(set(splits[0]) & set(splits[2])) < 200  # 451 / 4 = 113 expected of independent draws
    assert [len(rows) for rows in splits] == [451, 451, 451]


def test_each_row_is_kept_equally_often():
    times = np.zeros(40)
    for seed in range(400):
        times[digits.stratified_split([0] * 12 + [1] * 28, seed=seed)[1]] += 1
    # binomial(400, 1/4): mean 100, standard deviation 8.7; 40 rows within 5 of them except once in 40 000 tries
    assert (abs(times - 100) <= 5 * 8.7).all()


@pytest.mark.parametrize(
    ("y", "fraction", "message"),
    [([], 0.25, "y has shape"), ([[1]], 0.25, "y has shape"), ([1, 2], 0, "tion is 0"), ([1, 2], 1.0, "tion is 1.0")],
)
def test_bad_arguments_are_named(y, fraction, message):
    with pytest.raises(ValueError, match=message):
        digits.stratified_split(y, fraction)
