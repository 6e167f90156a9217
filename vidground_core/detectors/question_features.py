"""What a text-only classifier sees of a (question, option) pair. Answers are not handed in, so no feature can read one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vidground_core.detectors.question_products import Product, tfidf_of_products

TextRow = tuple[str, tuple[str, ...]]
_WORD = re.compile(r"[^\W_]+(?:'\w+)?")
_POSITIONS = 8
# Before the shared L2 penalty: how much these features count against the TF-IDF of words, whose rows have length 1.
_FORM_SCALE = 0.5
_SURFACE_SCALE = 0.3
_SURFACE_NAMES = (
    "length of the option",
    "words in the option",
    "length against the other options",
    "share of options that are shorter",
    "the longest option",
    "the shortest option",
    "share of its words that are in the question",
    "share of the question's words in it",
    "mean overlap with the other options",
    "most overlap with another option",
    "least overlap with another option",
    "share of its words in the other options",
    "how often the same text is an option in the set",
    "begins with a capital",
    "ends with a full stop",
    "number of options",
)


@dataclass(frozen=True)
class PairFeatures:
    """`matrix` has a row for each (question, option) pair, float32; question i has the rows `start[i]` to `start[i + 1]`."""

    matrix: Any
    start: NDArray[np.int64]
    names: list[str]


def pair_features(rows: Sequence[TextRow], *, max_features: int) -> PairFeatures:
    """Features of all pairs of questions and options, in order.

    TF-IDF of the option's words and word pairs; TF-IDF of question word × option word, and of the question's beginning × option word;
    TF-IDF of question word × position, and × whether the question names a word of the option; lengths, overlaps, position and how often
    the option's text occurs in the set, standardised. At most `max_features` of each TF-IDF block, by frequency.
    """
    start = np.concatenate([[0], np.cumsum([len(options) for _, options in rows])]).astype(np.int64)
    least = 2 if len(rows) >= 100 else 1
    block, terms = tfidf(_option_terms(rows), least=least, most=max_features)
    blocks, names = [block], [f"option {term!r}" for term in terms]
    for products, prefix, scale in ((_words_by_words(rows), "words", 1.0), (_words_by_form(rows), "word and form", _FORM_SCALE)):
        block, terms = tfidf_of_products(products, least=least, most=max_features)
        block.data *= np.float32(scale)
        blocks.append(block)
        names += [f"{prefix} {term!r}" for term in terms]
    surface = np.vstack([_surface(rows, start), _one_hot_positions(start)])
    spread = surface.std(axis=1, keepdims=True)
    surface = _SURFACE_SCALE * (surface - surface.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    blocks.append(sp.csr_matrix(surface.T.astype(np.float32)))
    names += [*_SURFACE_NAMES, *(f"position {place + 1}" for place in range(_POSITIONS))]
    return PairFeatures(sp.hstack(blocks, format="csr", dtype=np.float32), start, names)


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def _option_terms(rows: Iterable[TextRow]) -> Iterator[list[str]]:
    for _, options in rows:
        for option in options:
            found = words(option)
            yield found + [f"{first} {second}" for first, second in pairwise(found)]


def _words_by_words(rows: Iterable[TextRow]) -> Iterator[Product]:
    for text, options in rows:
        asked = words(text)
        openings = {f"{' '.join(asked[:length])} …" for length in (1, 2)}
        yield sorted(openings | set(asked)), [sorted(set(words(option))) for option in options]


def _words_by_form(rows: Iterable[TextRow]) -> Iterator[Product]:
    for text, options in rows:
        asked = set(words(text))
        named = ["named in the question" if asked & set(words(option)) else "not named in the question" for option in options]
        yield sorted(asked), [(f"position {place}", form) for place, form in enumerate(named, start=1)]


def tfidf(documents: Iterator[list[str]], *, least: int, most: int) -> tuple[Any, list[str]]:
    """TF-IDF of documents that are lists of terms, float32, and the terms: those in `least` documents at least, the `most` frequent."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    seen = 0

    def counted() -> Iterator[list[str]]:
        nonlocal seen
        for document in documents:
            seen += 1
            yield document

    vectorizer = TfidfVectorizer(analyzer=_as_is, min_df=least, max_features=most, sublinear_tf=True, dtype=np.float32)
    try:
        block = vectorizer.fit_transform(counted())
    except ValueError as error:
        # No term is left: options of punctuation only, or none that occurs twice.
        if "vocabulary" not in str(error) and "no terms remain" not in str(error):
            raise
        return sp.csr_matrix(np.zeros((seen, 0), dtype=np.float32)), []
    return block, list(vectorizer.get_feature_names_out())


def _as_is(terms: list[str]) -> list[str]:
    return terms


def _surface(rows: Sequence[TextRow], start: NDArray[np.int64]) -> NDArray[np.float64]:
    """Lengths, overlaps and frequency: one line a name in `_SURFACE_NAMES`, one column a pair."""
    found = np.zeros((len(_SURFACE_NAMES), int(start[-1])))
    frequency = Counter(option.lower() for _, options in rows for option in options)
    for (text, options), first in zip(rows, start, strict=False):
        asked = set(words(text))
        said = [words(option) for option in options]
        lengths = np.array([len(option) for option in options], dtype=float)
        for place, option in enumerate(options):
            own = set(said[place])
            overlap = len(own & asked)
            found[:, first + place] = (
                np.log1p(lengths[place]),
                np.log1p(len(said[place])),
                lengths[place] / max(1.0, lengths.mean()),
                (lengths < lengths[place]).mean(),
                lengths[place] == lengths.max(),
                lengths[place] == lengths.min(),
                overlap / max(1, len(own)),
                overlap / max(1, len(asked)),
                *_overlaps(own, [set(other) for index, other in enumerate(said) if index != place]),
                np.log1p(frequency[option.lower()]),
                option[:1].isupper(),
                option.endswith("."),
                len(options),
            )
    return found


def _overlaps(own: set[str], others: Sequence[set[str]]) -> tuple[float, float, float, float]:
    """Mean, largest and smallest Jaccard overlap with the other options, and the mean share of own words in them."""
    if not others:
        return 0.0, 0.0, 0.0, 0.0
    jaccard = [len(own & other) / max(1, len(own | other)) for other in others]
    share = sum(len(own & other) for other in others) / (len(others) * max(1, len(own)))
    return sum(jaccard) / len(jaccard), max(jaccard), min(jaccard), share


def _one_hot_positions(start: NDArray[np.int64]) -> NDArray[np.float64]:
    places = np.arange(start[-1]) - np.repeat(start[:-1], np.diff(start))
    marks: NDArray[np.float64] = (places[None, :] == np.arange(_POSITIONS)[:, None]).astype(np.float64)
    return marks
