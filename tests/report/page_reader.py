"""A page as a browser would see it, for the tests that read one."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>{{ 7 * 7 }}\u202e&amp;"
VOID = {"meta", "br", "input", "img"}
LOADING = {"src", "srcset", "href", "xlink:href", "action", "data", "poster", "style"}


class Page(HTMLParser):
    """What a browser would see: elements with attributes, balanced tags, text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def scripts(self) -> list[str | None]:
        return [attributes.get("type") for tag, attributes in self.elements if tag == "script"]

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]

    def sections(self) -> list[str]:
        return [attributes["id"] or "" for tag, attributes in self.elements if tag == "section"]

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())
