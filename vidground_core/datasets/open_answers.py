"""The kind of questions that come without options and without a kind."""

from __future__ import annotations

import re

from vidground_core.records import Kind

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?")


def open_kind(answer: str) -> Kind:
    """`numerical` where the answer is nothing but a number ("42", "-3.5", "1,000"), else `free-form`."""
    return "numerical" if answer and any(map(str.isdigit, answer)) and _NUMBER.fullmatch(answer) else "free-form"
