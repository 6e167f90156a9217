"""Features of (question, option) pairs: of the text alone, in order, named."""

from __future__ import annotations

import numpy as np
import pytest

from vidground_core.detectors.question_features import TextRow, pair_features, words

ROWS: list[TextRow] = [
    ("What does the dog eat?", ("A bone.", "the dog", "Three small red apples.")),
    ("Why?", ("the dog", "because")),
    ("How many?", ("3",)),
]


def column(rows: list[TextRow], name: str) -> list[float]:
    features = pair_features(rows, max_features=1000)
    return [float(value) for value in np.asarray(features.matrix[:, features.names.index(name)].todense()).ravel()]


def ranks(values: list[float]) -> list[int]:
    return [sorted(set(values)).index(value) for value in values]


def test_every_pair_has_a_row_and_every_column_a_name() -> None:
    features = pair_features(ROWS, max_features=1000)
    assert features.start.tolist() == [0, 3, 5, 6]
    assert features.matrix.shape == (6, len(features.names))
    assert features.matrix.dtype == np.float32
    assert len(set(features.names)) == len(features.names)


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("length of the option", [1, 1, 2, 1, 1, 0]),
        ("the longest option", [0, 0, 1, 1, 1, 1]),
        ("the shortest option", [1, 1, 0, 1, 1, 1]),
        ("share of its words that are in the question", [0, 1, 0, 0, 0, 0]),
        ("how often the same text is an option in the set", [0, 1, 0, 1, 0, 0]),
        ("begins with a capital", [1, 0, 1, 0, 0, 0]),
        ("ends with a full stop", [1, 0, 1, 0, 0, 0]),
        ("position 1", [1, 0, 0, 1, 0, 1]),
        ("option 'dog'", [0, 1, 0, 1, 0, 0]),
        ("option 'the dog'", [0, 1, 0, 1, 0, 0]),
        ("words 'why × because'", [0, 0, 0, 0, 1, 0]),
        ("words 'what does … × bone'", [1, 0, 0, 0, 0, 0]),
        ("word and form 'eat × position 3'", [0, 0, 1, 0, 0, 0]),
        ("word and form 'what × named in the question'", [0, 1, 0, 0, 0, 0]),
    ],
)
def test_what_a_feature_says(name: str, order: list[int]) -> None:
    if name == "length of the option":
        assert np.argsort(column(ROWS, name), kind="stable").tolist() == [5, 0, 1, 3, 4, 2]
    else:
        assert ranks(column(ROWS, name)) == order


def test_the_most_frequent_terms_are_kept() -> None:
    names = pair_features(ROWS, max_features=2).names
    assert [name for name in names if name.startswith("option '")] == ["option 'dog'", "option 'the'"]


def test_options_without_words_leave_the_surface_features() -> None:
    rows: list[TextRow] = [("?", ("!", "…")), ("?!", ("…", "!!"))]
    features = pair_features(rows, max_features=10)
    assert features.matrix.shape[0] == 4
    assert "length of the option" in features.names
    assert not any("'" in name and name.startswith("option ") for name in features.names)


def test_words_of_any_script() -> None:
    assert words("Don't Größe_x, 3.5 狗 — ok") == ["don't", "größe", "x", "3", "5", "狗", "ok"]
