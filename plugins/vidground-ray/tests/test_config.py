from __future__ import annotations

from typing import Any

import pytest
from vidground_ray.config import RayConfig

from vidground_core import ConfigError
from vidground_core.config import build


@pytest.mark.parametrize(("given", "least", "most"), [("3", 3, 3), (3, 3, 3), ("2..8", 2, 8)])
def test_a_number_of_workers_or_a_range(given: Any, least: int, most: int) -> None:
    config = RayConfig(workers=given)
    assert (config.least, config.most) == (least, most)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"workers": "many"}, "executor 'ray': workers = 'many': expected a number such as 4, or a range such as 2..8"),
        ({"workers": "8..2"}, "executor 'ray': workers = '8..2': expected at least one worker, and MIN not above MAX"),
        ({"workers": 0}, "executor 'ray': workers = 0: expected at least one worker, and MIN not above MAX"),
        ({"num_gpus": 1.5}, "executor 'ray': num_gpus = 1.5: Ray takes fractions only below 1"),
        ({"num_cpus": -1}, "executor 'ray': num_cpus = -1: Input should be greater than or equal to 0"),
        ({"attempts": 1}, "executor 'ray': attempts = 1: Input should be greater than or equal to 2"),
        ({"worker": 2}, "executor 'ray': unknown option 'worker'; did you mean 'workers'? there is: address, attempts, batch"),
    ],
)
def test_what_is_wrong_with_an_option_is_said(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(RayConfig, options, "executor 'ray'")
    assert str(error.value).startswith(text)
