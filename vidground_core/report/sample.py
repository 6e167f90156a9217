"""How much of a text, of evidence and of options is shown."""

TEXT_LIMIT = 2_000
EVIDENCE_LINES = 12
EVIDENCE_LIMIT = 300
OPTIONS_LIMIT = 52


def cut(text: str, limit: int) -> str:
    """`text`, or its beginning and how much was left off."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"
