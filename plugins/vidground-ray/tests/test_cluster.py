"""What is said and done where a cluster is not reached at once; the cluster here is made of words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from vidground_ray import cluster
from vidground_ray.config import RayConfig

from vidground_core import EngineError

# As Ray words it, shortened.
NO_SERVER = "Initialization failure from server:\nRuntimeError: Starting Ray client server failed. See ray_client_server_23000.err"


def connected(monkeypatch: pytest.MonkeyPatch, *failures: str) -> int:
    """How often Ray is asked to connect, which fails with these words before it succeeds."""
    left = [ConnectionAbortedError(words) for words in failures]
    tried: list[dict[str, Any]] = []

    def init(**options: Any) -> None:
        tried.append(options)
        if left:
            raise left.pop(0)

    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)
    try:
        cluster.Cluster(RayConfig(address="ray://head:10001"))._init(SimpleNamespace(init=init, shutdown=lambda: None))
    finally:
        assert all(options["address"] == "ray://head:10001" for options in tried)
    return len(tried)


def test_a_head_that_could_not_start_the_clients_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connected(monkeypatch) == 1
    assert connected(monkeypatch, NO_SERVER, NO_SERVER) == 3


def test_in_the_end_the_heads_words_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match=r"no cluster at address = 'ray://head:10001': .*Starting Ray client server failed"):
        connected(monkeypatch, *[NO_SERVER] * 3)


def test_what_will_not_change_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="Failed to create runtime_env"):
        connected(monkeypatch, "Initialization failure from server: Failed to create runtime_env", NO_SERVER)
