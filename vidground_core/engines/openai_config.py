"""The options of the engine `openai`."""

from __future__ import annotations

import os
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from vidground_core.engines.base import EngineConfig

# What the engine itself decides; an `extra_body` that sets them would make replies that cannot be read.
_OWN = ("messages", "prompt", "model", "logprobs", "top_logprobs", "echo", "stream", "n")
BASE_URL_VARIABLE = "OPENAI_BASE_URL"
PUBLIC_URL = "https://api.openai.com/v1"


def address(config: OpenAIConfig) -> str:
    """Where the endpoint is: the option, else the environment, else OpenAI."""
    return config.base_url or os.environ.get(BASE_URL_VARIABLE, "").rstrip("/") or PUBLIC_URL


class OpenAIConfig(EngineConfig):
    """Options of the engine `openai`."""

    base_url: str = Field(
        "",
        description=f"Address of the endpoint, with its /v1; empty: that in the variable {BASE_URL_VARIABLE}, else OpenAI's.",
    )
    api: Literal["chat", "completions"] = Field(
        "chat",
        description="chat: the model's own chat template, images, letters scored by the likeliest first tokens; completions: plain text,"
        " any continuation scored where the server echoes the prompt with its log-probabilities (vLLM does).",
    )
    api_key_env: str = Field(
        "OPENAI_API_KEY", description="Name of the environment variable that holds the key; the key itself is never an option."
    )
    organization_env: str = Field("OPENAI_ORG_ID", description="Name of the environment variable that holds the organization, if any.")
    concurrency: int = Field(64, ge=1, le=4096, description="Most requests under way; how many really are adapts to latency and refusals.")
    timeout: float = Field(120.0, gt=0, description="Seconds that one request may take.")
    deadline: float = Field(600.0, gt=0, description="Seconds that one ask may take: its requests and the waits between them.")
    attempts: int = Field(6, ge=1, description="Most requests for one ask before it is a failed reply.")
    max_new_tokens: int = Field(512, ge=1, description="Most tokens of an answer where the ask does not say.")
    limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the server calls the most tokens of a chat answer; OpenAI's newer models know only the longer name."
    )
    scores: bool = Field(True, description="Whether the server gives log-probabilities; without them detectors read generated answers.")
    top_logprobs: int = Field(20, ge=1, le=20, description="How many of the likeliest first tokens are asked for when letters are scored.")
    image_format: Literal["jpeg", "png"] = Field("jpeg", description="How the frames of a clip are sent.")
    image_quality: int = Field(90, ge=1, le=100, description="Quality of JPEG frames.")
    image_detail: Literal["", "auto", "low", "high"] = Field("", description="The image_url parts' detail; not sent when empty.")
    seeded: bool = Field(True, description="Send a seed, drawn from the ask, where replies are sampled.")
    extra_body: dict[str, Any] = Field(
        default_factory=dict,
        description="More fields of every request; null takes a field away, such as a reasoning model's temperature.",
    )
    revision: str = Field("", description="Any word that tells apart two models served under one name; part of what replies are stored by.")
    prices: str | dict[str, dict[str, float]] = Field(
        "",
        description="Price table before the built-in one: a YAML or JSON file, or {model: {input, output}} in US$ per 10^6 tokens.",
    )
    transport: Literal["aiohttp", "sdk"] = Field(
        "aiohttp",
        description="aiohttp: requests with the SDK's address, headers and certificates over a plain session; sdk: every request by the"
        " SDK's own call, at about three times the processor time.",
    )

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("expected an address such as http://127.0.0.1:8000/v1")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        taken = sorted(set(self.extra_body) & set(_OWN))
        if taken:
            raise ValueError(f"extra_body sets {taken[0]!r}, which the engine decides itself; leave out {', '.join(taken)}")
        if self.deadline < self.timeout:
            raise ValueError(f"deadline = {self.deadline:g} is shorter than timeout = {self.timeout:g}, the time of a single request")
        return self
