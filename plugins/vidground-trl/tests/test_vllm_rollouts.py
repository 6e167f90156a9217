from __future__ import annotations

import pytest
from trl import GRPOConfig
from vidground_trl.arguments import refuse_unknown
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.vllm_rollouts import vllm_problem

from vidground_core import ConfigError


@pytest.mark.parametrize("version", ["1.15.0", "1.16.0", "1.16.1"])
def test_versions_that_expand_image_tokens_twice_are_named(version: str) -> None:
    assert vllm_problem(version) == (
        f"'use_vllm' corrupts rollouts with images and video in trl {version}: their tokens are expanded twice (trl issue 6294); leave it out"
    )


def test_later_versions_would_not_see_the_video() -> None:
    expected = "'use_vllm' would sample without the video: native video is handed to the model inside this process; leave it out"
    assert vllm_problem("1.17.0") == expected


def test_the_installed_version_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^extra: 'use_vllm' corrupts rollouts with images and video in trl 1\.16"):
        refuse_unknown({"use_vllm": True}, arguments=GRPOConfig, options=TRLGRPOConfig, trainer="trl-grpo")
