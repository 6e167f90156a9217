"""The web page of a run, made by `write_report`: one HTML file, and past 20 MB of questions a folder beside it."""

from pathlib import Path

from .browser import BrowserWriter
from .collect import collect
from .data import ReportData
from .page import render

__all__ = ["ReportData", "collect", "render", "write_report"]

PAGE = "report.html"


def write_report(directory: Path, out: Path | None = None) -> Path:
    """Writes the page of a run directory to `out`, by default `directory/report.html`, and returns its path.

    The page appears at once: it is written beside and renamed. Where the questions are more than 20 MB, they lie in the folder
    `report.data` beside the page (named as the page is). Raises InputError or RunDirectoryError where the directory is not a run's.
    """
    target = out or directory / PAGE
    browser = BrowserWriter(target)
    page = render(collect(directory, browser))
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.tmp")
    beside.write_text(page, encoding="utf-8", errors="replace")
    beside.replace(target)
    browser.tidy()
    return target
