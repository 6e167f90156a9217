"""TF-IDF of products of terms (a word of the question × a word of the option) in numbers, so that 10^8 of them fit."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Products are counted and looked up so many at a time: 32 MB of keys.
_AT_ONCE = 4_000_000
_SHIFT = 32

Keys = NDArray[np.int64]
Product = tuple[Iterable[str], Sequence[Iterable[str]]]


def tfidf_of_products(products: Iterable[Product], *, least: int, most: int) -> tuple[Any, list[str]]:
    """For each (terms of a question, terms of each of its options): a row an option, holding each question term × each option term once.

    CSR float32 and the columns' names, "left × right". As scikit-learn's TfidfVectorizer with smoothed idf and rows of length 1, of the
    terms in `least` rows at least and of those the `most` frequent, the first met of equals. Terms of a question or an option are distinct.
    """
    import scipy.sparse as sp

    terms = _Terms.of(products)
    columns, counts = _frequent(terms, least=least, most=most)
    idf = (np.log((1 + terms.pairs) / (1 + counts)) + 1).astype(np.float32)
    indices, lengths = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int64)]
    for keys, sizes in terms.chunks():
        place = np.searchsorted(columns, keys)
        place[place == len(columns)] = 0
        known = columns[place] == keys if len(columns) else np.zeros(len(keys), dtype=bool)
        row = np.repeat(np.arange(len(sizes)), sizes)[known]
        indices.append(place[known].astype(np.int32))
        lengths.append(np.bincount(row, minlength=len(sizes)))
    length = np.concatenate(lengths)
    index = np.concatenate(indices)
    del indices
    weight = idf[index]
    norms = np.sqrt(_sums(weight * weight, length))
    weight /= np.repeat(np.where(norms > 0, norms, 1), length).astype(np.float32)
    # int32 is scipy's own choice below 2^31 entries; mixed widths would be copied to the wider one.
    start: Any = np.concatenate([[0], np.cumsum(length)]).astype(np.int32 if len(index) < 2**31 else np.int64)
    csr: Any = sp.csr_matrix
    block = csr((weight, index, start), shape=(terms.pairs, len(columns)))
    block.sort_indices()
    return block, [f"{terms.left_names[key >> _SHIFT]} × {terms.right_names[key & (2**_SHIFT - 1)]}" for key in columns.tolist()]


@dataclass(frozen=True)
class _Terms:
    """Numbered terms in flat arrays: those of question i are `left[left_start[i]:left_start[i + 1]]`, of pair j likewise in `right`."""

    left: Keys
    left_start: Keys
    right: Keys
    right_start: Keys
    options: Keys
    left_names: list[str]
    right_names: list[str]

    @classmethod
    def of(cls, products: Iterable[Product]) -> _Terms:
        lefts: dict[str, int] = {}
        rights: dict[str, int] = {}
        left, left_start, right, right_start, options = array("i"), array("q", [0]), array("i"), array("q", [0]), array("i")
        for asked, said in products:
            left.extend(lefts.setdefault(term, len(lefts)) for term in asked)
            left_start.append(len(left))
            for option in said:
                right.extend(rights.setdefault(term, len(rights)) for term in option)
                right_start.append(len(right))
            options.append(len(said))
        return cls(
            _numbers(left), _numbers(left_start), _numbers(right), _numbers(right_start), _numbers(options), list(lefts), list(rights)
        )

    @property
    def pairs(self) -> int:
        return len(self.right_start) - 1

    def chunks(self) -> Iterator[tuple[Keys, Keys]]:
        """The keys of all products, pair after pair, and how many each pair has; whole questions, about `_AT_ONCE` keys at a time."""
        pair, waiting, keys, sizes = 0, 0, list[Keys](), list[Keys]()
        for row, count in enumerate(self.options.tolist()):
            left = self.left[self.left_start[row] : self.left_start[row + 1]]
            bounds = self.right_start[pair : pair + count + 1]
            pair += count
            keys.append(((left[None, :] << _SHIFT) | self.right[bounds[0] : bounds[-1], None]).ravel())
            sizes.append(np.diff(bounds) * len(left))
            waiting += len(keys[-1])
            if waiting >= _AT_ONCE:
                yield np.concatenate(keys), np.concatenate(sizes)
                waiting, keys, sizes = 0, [], []
        if keys:
            yield np.concatenate(keys), np.concatenate(sizes)


def _numbers(values: array[int]) -> Keys:
    return np.array(values, dtype=np.int64)


def _frequent(terms: _Terms, *, least: int, most: int) -> tuple[Keys, Keys]:
    """The keys that are used, ascending, and in how many pairs each occurs."""
    keys, counts = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for chunk, _ in terms.chunks():
        found, times = np.unique(chunk, return_counts=True)
        keys, where = np.unique(np.concatenate([keys, found]), return_inverse=True)
        counts = np.bincount(where, np.concatenate([counts, times]), minlength=len(keys)).astype(np.int64)
    often = counts >= least
    keys, counts = keys[often], counts[often]
    used = np.sort(np.argsort(-counts, kind="stable")[:most])
    return keys[used], counts[used]


def _sums(values: NDArray[np.float32], length: Keys) -> NDArray[np.float64]:
    """The sum of each run of `length` values."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    ends = np.cumsum(length)
    sums: NDArray[np.float64] = total[ends] - total[ends - length]
    return sums
