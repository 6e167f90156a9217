"""The components that come with the core, registered through the same hooks as anyone's."""

from __future__ import annotations

from typing import Any

from vidground_core.hookspecs import API_VERSION, hookimpl

VIDGROUND_API = f"=={API_VERSION}"


@hookimpl
def vidground_register_datasets() -> list[type[Any]]:
    """Canonical rows, the published layouts that are read here, and the embedded example."""
    from vidground_core.datasets.canonical import CanonicalLoader
    from vidground_core.datasets.llava_video import LLaVAVideoLoader
    from vidground_core.datasets.mmvu import MMVULoader
    from vidground_core.datasets.mvbench import MVBenchLoader
    from vidground_core.datasets.nextqa import NextQALoader
    from vidground_core.datasets.planted.loader import PlantedLoader
    from vidground_core.datasets.social_iq2 import SocialIQ2Loader
    from vidground_core.datasets.tempcompass import TempCompassLoader
    from vidground_core.datasets.tomato import TomatoLoader
    from vidground_core.datasets.video_r1 import VideoR1Loader
    from vidground_core.datasets.videomme import VideoMMELoader
    from vidground_core.datasets.videommmu import VideoMMMULoader

    benchmarks = [
        MMVULoader,
        MVBenchLoader,
        NextQALoader,
        SocialIQ2Loader,
        TempCompassLoader,
        TomatoLoader,
        VideoMMELoader,
        VideoMMMULoader,
    ]
    return [CanonicalLoader, LLaVAVideoLoader, PlantedLoader, VideoR1Loader, *benchmarks]


@hookimpl
def vidground_register_detectors() -> list[type[Any]]:
    """Blind probes, shuffled frames, and the question-only classifier."""
    from vidground_core.detectors.blind import BlindLLM, BlindVLM
    from vidground_core.detectors.frame_shuffled import FrameShuffled
    from vidground_core.detectors.question_only import QuestionOnly

    return [BlindLLM, BlindVLM, FrameShuffled, QuestionOnly]


@hookimpl
def vidground_register_filters() -> list[type[Any]]:
    """The paper's rule."""
    from vidground_core.filters.drop_answerable import DropAnswerable

    return [DropAnswerable]


@hookimpl
def vidground_register_executors() -> list[type[Any]]:
    """This process."""
    from vidground_core.runs.local import LocalExecutor

    return [LocalExecutor]
