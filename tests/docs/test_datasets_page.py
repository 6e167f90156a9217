"""The page of data sets names every loader, and its mapping file works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vidground_core import Question
from vidground_core.datasets.mapped import MappedConfig, MappedLoader
from vidground_core.plugins import load_registry

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "datasets.md"


def test_every_loader_has_its_line() -> None:
    assert re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text(), re.MULTILINE) == load_registry(restrict="").names("dataset")


def test_the_mapping_file_of_the_page_works(tmp_path: Path) -> None:
    written = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert written is not None
    header = "video,qid,question,a0,a1,a2,answer,from,to,origin,type,meta.subject"
    (tmp_path / "table.csv").write_text(f"{header}\nv,1,What?,x,y,z,2,0.5,3,web,multiple choice,Art\n")
    (tmp_path / "mine.yaml").write_text(written.group(1))
    (row,) = MappedLoader(MappedConfig(path=str(tmp_path / "mine.yaml"))).load()
    assert isinstance(row, Question)
    assert (row.id, row.answer, row.group, row.source, row.tags) == ("v_1", "z", "v", "web", {"subject": "Art"})
    assert (row.media[0].path, row.media[0].start, row.media[0].end) == (str(tmp_path / "videos" / "v.mp4"), 0.5, 3.0)


@pytest.mark.parametrize("name", ["hf", "mapped", "video-r1"])
def test_sections_name_their_loader(name: str) -> None:
    assert f"\n## {name}\n" in PAGE.read_text()
