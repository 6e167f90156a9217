"""The components that come with the core, registered through the same hooks as anyone's."""

from __future__ import annotations

from typing import Any

from vidground_core.hookspecs import API_VERSION, hookimpl

VIDGROUND_API = f"=={API_VERSION}"


@hookimpl
def vidground_register_datasets() -> list[type[Any]]:
    """Canonical rows, the published layouts that are read here, and the embedded example."""
    from vidground_core.datasets.canonical import CanonicalLoader
    from vidground_core.datasets.huggingface import HuggingFaceLoader
    from vidground_core.datasets.llava_video import LLaVAVideoLoader
    from vidground_core.datasets.mapped import MappedLoader
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
    return [CanonicalLoader, HuggingFaceLoader, LLaVAVideoLoader, MappedLoader, PlantedLoader, VideoR1Loader, *benchmarks]


@hookimpl
def vidground_register_detectors() -> list[type[Any]]:
    """Probes of a model, recorded judgements, and detectors that read the whole set."""
    from vidground_core.detectors.artefacts import Artefacts
    from vidground_core.detectors.bias_pruning import BiasPruning
    from vidground_core.detectors.blind import BlindLLM, BlindVLM
    from vidground_core.detectors.frame_shuffled import FrameReversed, FrameShuffled
    from vidground_core.detectors.options_only import OptionsOnly
    from vidground_core.detectors.question_only import QuestionOnly
    from vidground_core.detectors.recorded import Recorded
    from vidground_core.detectors.single_frame import SingleFrame
    from vidground_core.detectors.subtitles_only import SubtitlesOnly
    from vidground_core.detectors.wrong_video import BlankVideo, MismatchedVideo

    probes = [BlankVideo, BlindLLM, BlindVLM, FrameReversed, FrameShuffled, MismatchedVideo, OptionsOnly, SingleFrame, SubtitlesOnly]
    return [*probes, Artefacts, BiasPruning, Recorded, QuestionOnly]


@hookimpl
def vidground_register_engines() -> list[type[Any]]:
    """Models behind an address."""
    from vidground_core.engines.openai import OpenAIEngine

    return [OpenAIEngine]


@hookimpl
def vidground_register_filters() -> list[type[Any]]:
    """Policies on verdicts, and the controls of an ablation."""
    from vidground_core.filters.balanced import Balanced
    from vidground_core.filters.budget import Budget
    from vidground_core.filters.by_label import ByLabel
    from vidground_core.filters.consensus import Consensus
    from vidground_core.filters.controls import RandomMatched, TAOnly
    from vidground_core.filters.drop_answerable import DropAnswerable
    from vidground_core.filters.guess_corrected import GuessCorrected
    from vidground_core.filters.iterative_pruning import IterativePruning
    from vidground_core.filters.pass_rate import PassRate
    from vidground_core.filters.shortcut_score import ShortcutScore
    from vidground_core.filters.threshold import Threshold
    from vidground_core.filters.visual_gain import VisualGain

    judging = [Consensus, DropAnswerable, GuessCorrected, IterativePruning, PassRate, ShortcutScore, Threshold, VisualGain]
    return [Balanced, Budget, ByLabel, RandomMatched, TAOnly, *judging]


@hookimpl
def vidground_register_executors() -> list[type[Any]]:
    """This process."""
    from vidground_core.runs.local import LocalExecutor

    return [LocalExecutor]


@hookimpl
def vidground_register_exporters() -> list[type[Any]]:
    """Formats of the trainers people use, a data set for the hub, and batch files."""
    from vidground_core.exports.easyr1 import EasyR1Exporter
    from vidground_core.exports.hf_datasets import HFDatasetsExporter
    from vidground_core.exports.llamafactory import LLaMAFactoryExporter
    from vidground_core.exports.llava import LLaVAExporter
    from vidground_core.exports.ms_swift import MsSwiftExporter
    from vidground_core.exports.openai_batch import OpenAIBatchExporter
    from vidground_core.exports.openrlhf import OpenRLHFExporter
    from vidground_core.exports.trl import TRLExporter
    from vidground_core.exports.verl import VerlExporter
    from vidground_core.exports.video_r1 import VideoR1Exporter

    trainers = [EasyR1Exporter, LLaMAFactoryExporter, LLaVAExporter, MsSwiftExporter, OpenRLHFExporter, TRLExporter, VerlExporter]
    return [HFDatasetsExporter, OpenAIBatchExporter, *trainers, VideoR1Exporter]
