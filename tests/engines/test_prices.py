"""Price tables."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from vidground_core.config import read_yaml
from vidground_core.engines.prices import BUILT_IN, Price, find_price
from vidground_core.errors import ConfigError


def test_the_built_in_table_is_dated_and_whole() -> None:
    table = read_yaml(BUILT_IN)
    assert isinstance(table["date"], date)
    for model in table["models"]:
        price = find_price(model)
        assert price is not None
        assert 0 < price.input < price.output


def test_a_dated_name_has_the_price_of_its_model_and_an_unknown_one_has_none() -> None:
    assert find_price("gpt-4o-2024-08-06") == find_price("gpt-4o") == Price(2.5, 10.0)
    assert find_price("gpt-4o-preview") is find_price("my-model") is find_price("") is None


@pytest.mark.parametrize("name", ["prices.yaml", "prices.json"])
def test_a_file_goes_before_the_built_in_table(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"date": "2026-01-01", "models": {"gpt-4o": {"input": 1, "output": 2}}}')
    assert find_price("gpt-4o", str(tmp_path / name)) == Price(1, 2)
    assert find_price("gpt-4.1", str(tmp_path / name)) == Price(2, 8)


def test_a_mapping_of_models_alone() -> None:
    price = find_price("mine", {"mine": {"input": 0, "output": 0.5}})
    assert price is not None
    assert price.of((3_000_000, 1_000_000)) == 0.5


@pytest.mark.parametrize(
    "value", [3, {"input": 1}, {"input": 1, "output": -2}, {"input": 1, "output": "2"}, {"input": 1, "output": 2, "x": 3}]
)
def test_a_price_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        find_price("mine", {"mine": value})
    assert str(error.value) == (
        f"engine.prices: the price of 'mine' is {value!r}; expected {{input: 2.5, output: 10}} in US$ per 10^6 tokens"
    )


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the config file"):
        find_price("mine", str(tmp_path / "none.yaml"))
    (tmp_path / "prices.yaml").write_text("models: 3")
    with pytest.raises(ConfigError, match=r"prices\.yaml: models = 3: expected a mapping of model to"):
        find_price("mine", str(tmp_path / "prices.yaml"))
