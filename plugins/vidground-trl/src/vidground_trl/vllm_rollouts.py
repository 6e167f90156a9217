"""Why rollouts by vLLM are refused: TRL sends it prompts whose image tokens are expanded already, and it expands them again."""

from __future__ import annotations

from packaging.specifiers import SpecifierSet

# https://github.com/huggingface/trl/issues/6294: reported in July 2026, open, in every release that this plugin runs with.
DOUBLE_EXPANSION = SpecifierSet("<1.17")


def vllm_problem(trl: str) -> str:
    """Why `use_vllm` is refused with that version of TRL; pure."""
    if DOUBLE_EXPANSION.contains(trl, prereleases=True):
        why = "their tokens are expanded twice (trl issue 6294)"
        return f"'use_vllm' corrupts rollouts with images and video in trl {trl}: {why}; leave it out"
    return "'use_vllm' would sample without the video: native video is handed to the model inside this process; leave it out"
