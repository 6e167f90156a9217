"""TF-IDF of products: scikit-learn's numbers on the same terms, in any chunks."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from vidground_core.detectors import question_products
from vidground_core.detectors.question_products import Product, tfidf_of_products


def drawn(count: int, *, seed: int = 0) -> list[Product]:
    draw = random.Random(seed)
    said = ["red", "green", "blue", "car", "dog", "cat", "runs", "jumps"]
    return [
        (
            sorted(set(draw.choices(["what", "why", "is", "it", "a", "the", "dog", "car"], k=draw.randint(0, 5)))),
            [sorted(set(draw.choices(said, k=3)))] * 2,
        )
        for _ in range(count)
    ]


def documents(products: list[Product]) -> list[list[str]]:
    return [[f"{left} × {right}" for left, right in product(asked, option)] for asked, said in products for option in said]


@pytest.mark.parametrize("at_once", [1, 50, 4_000_000])
def test_the_numbers_are_scikit_learns(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(question_products, "_AT_ONCE", at_once)
    products = drawn(40)
    block, names = tfidf_of_products(products, least=3, most=1_000)
    theirs = TfidfVectorizer(analyzer=list, min_df=3, sublinear_tf=True, dtype=np.float32)
    wanted = theirs.fit_transform(documents(products)).toarray()
    assert sorted(names) == list(theirs.get_feature_names_out())
    assert block.dtype == np.float32
    assert block.toarray()[:, np.argsort(names)] == pytest.approx(wanted, abs=1e-6)


def test_the_most_frequent_are_kept_and_of_equals_the_first_met() -> None:
    products: list[Product] = [(["b"], [["x"], ["y"]]), (["a"], [["x"], ["x"]]), (["b"], [["z"]])]
    block, names = tfidf_of_products(products, least=1, most=2)
    assert names == ["b × x", "a × x"]
    assert block.toarray().tolist() == [[1, 0], [0, 0], [0, 1], [0, 1], [0, 0]]


def test_nothing_that_recurs_gives_no_columns() -> None:
    for products in ([], [([], [["x"], []])], [(["a"], [["x"], ["y"]])]):
        block, names = tfidf_of_products(products, least=2, most=10)
        assert names == []
        assert block.shape == (sum(len(said) for _, said in products), 0)
