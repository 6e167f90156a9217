"""Secrets never reach a file: they are masked in every config that is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
_WORD = r"(?:api[_-]?key|apikey|key|token|secret|password|passwd|authorization|credentials?)s?"
_NAME = re.compile(rf"(?:^|[^a-z]){_WORD}(?:$|[^a-z])", re.IGNORECASE)
_SETTING = re.compile(rf"((?:^|[^A-Za-z]){_WORD}=|\bBearer )\S+", re.IGNORECASE)
_LOGIN = re.compile(r"(://[^/\s:@]+:)[^/\s@]+@")


def mask(value: Any, name: str = "") -> Any:
    """`value` with every secret replaced by "***".

    A secret is a string whose key is or contains the word key, token, secret, password, …, whatever follows such a word and `=`
    in a string (`engine.api_key=…`) or the word Bearer, and the password in a URL. Numbers stay: `max_tokens` is no secret.
    """
    if isinstance(value, Mapping):
        return {key: mask(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask(item, name) for item in value]
    if isinstance(value, str) and value:
        return MASK if _NAME.search(name) else _LOGIN.sub(rf"\g<1>{MASK}@", _SETTING.sub(rf"\g<1>{MASK}", value))
    return value
