from __future__ import annotations

from pathlib import Path

import pytest

from vidground_core.testing.media import counting_video

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "video"


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames at 10 frames a second, 64 × 48."""
    return counting_video(tmp_path_factory.mktemp("media") / "counting.mp4")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the shared video folder is not beside this checkout")
    return SHARED.resolve()
