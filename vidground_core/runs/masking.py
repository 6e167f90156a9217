"""Secrets never reach a file: they are masked in every config that is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
_WORD = r"(?:api[_-]?key|apikey|key|token|secret|password|passwd|authorization|credentials?)s?"
_NAME = re.compile(rf"(?:^|[^a-z]){_WORD}(?:$|[^a-z])", re.IGNORECASE)
# What no secret is: nothing or a switch, and, after the plural tokens, a number of them.
_NOTHING, _COUNTS = r"(?:none|null|true|false)", r"\d[\d_.]*[km]?(?:,\d[\d_.]*[km]?)*"
_END = r"[\"')\]},;]*(?=\s|$|[,;&][\w.-]+=)"
_PLAIN = rf"[\"'\[(]*(?:{_NOTHING}|(?<=tokens=){_COUNTS}|(?<=tokens=.){_COUNTS}){_END}"
_SETTING = re.compile(rf"((?:^|[^A-Za-z]){_WORD}=(?!{_PLAIN})|\bBearer )\S+", re.IGNORECASE)
_TOKENS = re.compile(rf"{_NOTHING}|{_COUNTS}", re.IGNORECASE)
_LOGIN = re.compile(r"(://[^/\s:@]+:)[^/\s@]+@")


def mask(value: Any, name: str = "") -> Any:
    """`value` with every secret replaced by "***".

    A secret is a string whose key is or contains the word key, token, secret, password, …, whatever follows such a word and `=`
    in a string (`engine.api_key=…`) or the word Bearer, and the password in a URL. Numbers stay: `max_tokens` is no secret, nor is
    `max_new_tokens=16` in a string, or `api_key=None`; `token=16` and `password=16` are.
    """
    if isinstance(value, Mapping):
        return {key: mask(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask(item, name) for item in value]
    if isinstance(value, str) and value:
        counts = name.lower().endswith("tokens") and _TOKENS.fullmatch(value)
        return MASK if _NAME.search(name) and not counts else _LOGIN.sub(rf"\g<1>{MASK}@", _SETTING.sub(rf"\g<1>{MASK}", value))
    return value
