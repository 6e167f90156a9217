from __future__ import annotations

from typing import Any

import pytest

from vidground_core.runs.masking import mask


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"api_key": "sk-1"}, {"api_key": "***"}),
        ({"engine": {"apiKey": "sk-1", "hf_token": "hf_1"}}, {"engine": {"apiKey": "***", "hf_token": "***"}}),
        ({"password": ["a", "b"]}, {"password": ["***", "***"]}),
        ({"set": ["engine.api_key=sk-1", "seed=3"]}, {"set": ["engine.api_key=***", "seed=3"]}),
        ({"header": "Authorization: Bearer abc"}, {"header": "Authorization: Bearer ***"}),
        ({"base_url": "https://me:pw@host/v1"}, {"base_url": "https://me:***@host/v1"}),
        ({"max_tokens": 256, "tokenizer": "path", "keyboard": "us"}, {"max_tokens": 256, "tokenizer": "path", "keyboard": "us"}),
        ({"set": ["trainer.max_new_tokens=16"]}, {"set": ["trainer.max_new_tokens=16"]}),
        ({"argv": "f(max_tokens=[8,16], api_key=sk-1)"}, {"argv": "f(max_tokens=[8,16], api_key=***"}),
        ({"argv": "max_tokens=4_096,api_key=None,password=abc"}, {"argv": "max_tokens=4_096,api_key=None,password=***"}),
        (
            {"argv": ["token=16", "tokens=hf_1", "tokens=16,hf_1", "password=Nonesuch"]},
            {"argv": ["token=***", "tokens=***", "tokens=***", "password=***"]},
        ),
        ({"max_tokens": "16", "hf_tokens": "hf_1", "token": "16"}, {"max_tokens": "16", "hf_tokens": "***", "token": "***"}),
        ({"api_key": ""}, {"api_key": ""}),
        ({"prompt": "Pick the key: A or B", "dirs": ("a", 1, None)}, {"prompt": "Pick the key: A or B", "dirs": ["a", 1, None]}),
    ],
)
def test_secrets_are_masked_and_nothing_else(value: dict[str, Any], masked: dict[str, Any]) -> None:
    assert mask(value) == masked
