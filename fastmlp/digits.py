"""The handwritten digits that ship with fastmlp, and the stratified split into training and test rows.

Refuses to fetch anything: the data lie beside this file in data/, with their origin and licence in data/LICENSE.md.
"""

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmlp._core import permutation
from fastmlp._names import POSITIVE_FRACTION, check_number, check_whole

__all__ = ["FEATURES", "PIXEL_MAX", "load", "stratified_split"]

FEATURES = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
PIXEL_MAX = 16


def load() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Handwritten digits: 1797 images of 8 x 8 pixels and what they show.

    Returns
    -------
    X : ndarray of float32, shape (1797, 64)
        Pixels row by row, divided by 16, so that they lie in 0..1. `FEATURES` names the columns.
    y : ndarray of int64, shape (1797,)
        The digit, 0..9.

    Notes
    -----
    The test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, licensed CC BY 4.0.

    Examples
    --------
    >>> from fastmlp import digits
    >>> X, y = digits.load()
    >>> X.shape, y.shape
    ((1797, 64), (1797,))
    """
    path = os.path.join(os.path.dirname(__file__), "data", "digits.npz")
    with np.load(path, allow_pickle=False) as data:
        X = data["pixels"].astype(np.float32)
        y = data["labels"].astype(np.int64)
    X /= PIXEL_MAX
    return X, y


def stratified_split(
    y: ArrayLike, test_fraction: float = 0.25, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows into a training and a test part in which every class keeps its share.

    Of a class with n rows, n * test_fraction (halves rounded up) go to the test part: at least one and at most n - 1
    where n >= 2, none where n = 1. Which rows they are depends on `seed` alone: the engine's counter-based generator
    draws them, so every platform and every version of NumPy gives the same split.

    Parameters
    ----------
    y : array_like, shape (B,)
        The class of each row. A constant y gives a plain random split.
    test_fraction : float, default 0.25
        Share of the rows that are kept for the test, above 0 and below 1.
    seed : int, default 0

    Returns
    -------
    train, test : ndarrays of int64
        Row numbers, each in ascending order; together every row once.

    Raises
    ------
    ValueError
        If y is not one-dimensional or empty, test_fraction is not between 0 and 1, or seed no whole number from 0 to
        2**64 - 1.

    Examples
    --------
    >>> from fastmlp import digits
    >>> X, y = digits.load()
    >>> train, test = digits.stratified_split(y, seed=0)
    >>> len(train), len(test)
    (1346, 451)
    """
    y = np.asarray(y)
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(f"y has shape {y.shape}; wanted one class a row, shape (B,) with B >= 1")
    check_number("test_fraction", test_fraction, *POSITIVE_FRACTION)
    seed = check_whole("seed", seed, 0, 2**64 - 1)
    order = np.asarray(permutation(len(y), seed, 0), dtype=np.int64)
    codes = np.unique(y, return_inverse=True)[1][order]
    order = order[np.argsort(codes, kind="stable")]  # class by class, shuffled within each
    counts = np.bincount(codes)
    wanted = np.floor(counts * test_fraction + 0.5).astype(np.int64)
    wanted = np.where(counts > 1, np.clip(wanted, 1, counts - 1), 0)
    rank = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_test = rank < np.repeat(wanted, counts)
    return np.sort(order[~is_test]), np.sort(order[is_test])
