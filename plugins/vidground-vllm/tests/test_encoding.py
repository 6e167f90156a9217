"""Asks as prompts, with the tokenizer and template of nano, which takes native video: no vLLM is needed for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vidground_vllm.asking import Generating, Scoring, sampling
from vidground_vllm.encoding import Encoded, Encoder

from vidground_core import Ask, Clip, Reply
from vidground_core.media import load_clip
from vidground_core.models import resolve_model

transformers = pytest.importorskip("transformers")
BOTH = frozenset({"image", "video"})


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return transformers.AutoTokenizer.from_pretrained(resolve_model("nano"))


def encoder(tokenizer: Any, modalities: frozenset[str] = BOTH, **switches: Any) -> Encoder:
    return Encoder(tokenizer, template=tokenizer.chat_template, switches=switches, modalities=modalities)


def shown(*parts: str | Clip, options: tuple[str, ...] = ()) -> Ask:
    return Ask((("user", parts),), options)


def test_a_video_is_one_placeholder_with_its_frames_and_times(tokenizer: Any, video: Path) -> None:
    clip = Clip(str(video), digest="d", frames=4)
    encoded = encoder(tokenizer).encode(shown(clip, "what colour?", options=("red", "blue")))
    assert tokenizer.decode(encoded.ids).count("<|video_pad|>") == 1
    assert encoded.media is not None
    ((frames, metadata),) = encoded.media["video"]
    loaded = load_clip(clip)
    assert np.array_equal(frames, loaded.array)
    assert metadata["total_num_frames"] == 4
    assert metadata["do_sample_frames"] is False
    # What a processor makes of them: the seconds of each frame.
    assert [index / metadata["fps"] for index in metadata["frames_indices"]] == pytest.approx(loaded.seconds.tolist())
    prompt = encoded.prompt(encoded.tails[0])
    assert prompt["prompt_token_ids"] == [*encoded.ids, *encoded.tails[0]]
    assert set(prompt["multi_modal_data"]) == set(prompt["multi_modal_uuids"]) == {"video"}


def test_equal_pixels_have_equal_names_wherever_they_lie(tokenizer: Any, video: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(video.read_bytes())

    def name(clip: Clip) -> str:
        names = encoder(tokenizer).encode(shown(clip, "?")).names
        assert names is not None
        return names["video"][0]

    assert name(Clip(str(video), digest="d")) == name(Clip(str(moved), digest="d"))
    others = [Clip(str(video), digest="d", frames=3), Clip(str(video), digest="d", view="reversed"), Clip(str(video), digest="e")]
    assert len({name(clip) for clip in [Clip(str(video), digest="d"), *others]}) == 4


def test_a_model_of_images_is_shown_a_video_as_frames(tokenizer: Any, video: Path) -> None:
    encoded = encoder(tokenizer, frozenset({"image"})).encode(shown(Clip(str(video), digest="d", frames=3), "?"))
    assert tokenizer.decode(encoded.ids).count("<|image_pad|>") == 3
    assert encoded.media is not None
    assert encoded.names is not None
    assert [frame.shape for frame in encoded.media["image"]] == [(56, 56, 3)] * 3
    assert len(set(encoded.names["image"])) == 3


def test_clips_that_a_model_cannot_take(tokenizer: Any, video: Path) -> None:
    ask = shown(Clip(str(video)), "?")
    with pytest.raises(ValueError, match="^this model takes text only, the ask shows a clip$"):
        encoder(tokenizer, frozenset()).encode(ask)
    with pytest.raises(ValueError, match="^this model takes no images$"):
        encoder(tokenizer, frozenset({"video"})).encode(shown(Clip("x.png", type="image"), "?"))
    with pytest.raises(ValueError, match="^this model has no chat template, which says where a clip stands$"):
        Encoder(tokenizer, template=None, switches={}, modalities=BOTH).encode(ask)


def test_a_base_model_gets_plain_text(tokenizer: Any) -> None:
    plain = Encoder(tokenizer, template=None, switches={}, modalities=frozenset())
    encoded = plain.encode(Ask((("system", ("be brief",)), ("user", ("what colour?",))), ("red",)))
    assert tokenizer.decode(encoded.ids) == tokenizer.decode(tokenizer.encode("be brief\nwhat colour?\nAnswer:"))
    assert encoded.tails[0] == tokenizer.encode(" red", add_special_tokens=False)


def test_letters_need_one_request_and_texts_one_more_each(tokenizer: Any) -> None:
    encoded = Encoded(shown("?"), [5, 6], ([7], [8], [7, 9]))
    begun = Scoring(encoded).begin()
    assert not isinstance(begun, Reply)
    (only,) = begun
    assert only.parameters["logprob_token_ids"] == [7, 8]
    assert only.parameters["max_tokens"] == 1
    many = Scoring(Encoded(shown("?"), [5], tuple([token] for token in range(300)))).begin()
    assert not isinstance(many, Reply)
    assert [len(request.parameters["logprob_token_ids"]) for request in many] == [128, 128, 44]


def test_sampling_settings() -> None:
    ask = Ask((("user", ("?",)),), sampling=(("temperature", 0.7), ("top_p", 0.9), ("max_tokens", 5.0)))
    found = sampling(ask, most=512, seed=0)
    assert {name: found[name] for name in ("temperature", "top_p", "max_tokens")} == {"temperature": 0.7, "top_p": 0.9, "max_tokens": 5}
    assert 0 <= found["seed"] < 2**63
    assert sampling(ask, most=512, seed=1)["seed"] != found["seed"]
    assert sampling(Ask(ask.messages), most=512, seed=0) == {"temperature": 0.0, "max_tokens": 512}
    moved = [Ask((("user", (Clip(path, digest="d"),)),), sampling=ask.sampling) for path in ("a.mp4", "b.mp4")]
    assert len({sampling(each, most=1, seed=0)["seed"] for each in moved}) == 1


def test_vision_tokens_are_barred() -> None:
    begun = Generating(Encoded(shown("?"), [5]), most=3, seed=0, barred=(9, 11)).begin()
    assert not isinstance(begun, Reply)
    assert begun[0].parameters["logit_bias"] == {9: -100.0, 11: -100.0}
