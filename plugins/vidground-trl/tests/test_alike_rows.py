"""What rollouts of a prompt share beyond their videos: rotary positions, and the reading of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, DynamicCache
from vidground_trl import positions as alike
from vidground_trl.booking import SUPPORTED, unbook

from .test_booking import booked, chat, clip, group, inputs, plain_inputs

pytestmark = pytest.mark.parametrize("kind", SUPPORTED)
Tiny = Callable[[str], Path]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def rollouts(batch: dict[str, Any], lengths: list[int]) -> dict[str, Any]:
    """The batch with a completion of so many tokens behind each row, padded on the right as TRL does."""
    kept = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return batch | {
        "input_ids": torch.cat([batch["input_ids"], kept * batch["input_ids"][:, -1:]], dim=1),
        "attention_mask": torch.cat([batch["attention_mask"], kept.long()], dim=1),
        "mm_token_type_ids": torch.cat([batch["mm_token_type_ids"], torch.zeros_like(kept.long())], dim=1),
    }


def positions(model: Any, batch: dict[str, Any]) -> list[torch.Tensor]:
    """Position ids and deltas that the model works out for a batch."""
    found: list[torch.Tensor] = []
    work_out = model.base_model.get_rope_index

    def watched(*args: Any, **kwargs: Any) -> Any:
        found.extend(work_out(*args, **kwargs))
        return found[0], found[1]

    model.base_model.get_rope_index = watched
    with torch.no_grad():
        model.base_model(**batch)
    return found


def counted(target: Any, name: str, rows: Callable[..., int]) -> list[int]:
    """How many rows each call of that method is given from now on."""
    seen: list[int] = []
    method = getattr(target, name)

    def counting(*args: Any, **kwargs: Any) -> Any:
        seen.append(rows(*args, **kwargs))
        return method(*args, **kwargs)

    setattr(target, name, counting)
    return seen


def test_positions_are_those_of_ordinary_input(kind: str, tiny: Tiny, videos: list[Path], image: Path) -> None:
    chats = group(videos, image)
    lengths = [3, 1, 3, 2, 2, 2, 1, 4, 2]
    model, processor = booked(tiny(kind))
    unbook(model, processor.store)
    ours = positions(model, rollouts(inputs(processor, chats), lengths))
    ordinary = AutoModelForImageTextToText.from_pretrained(tiny(kind))
    theirs = positions(ordinary, rollouts(plain_inputs(tiny(kind), chats), lengths))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert len(ours) == 2


def test_they_are_worked_out_once_for_rows_that_differ_in_words_alone(kind: str, tiny: Tiny, videos: list[Path]) -> None:
    first, second = (clip(path) for path in videos[:2])
    chats = [chat("what color is the square ?", first)] * 4 + [chat("what color is the circle ?", first)] * 2 + [chat("how many ?", second)]
    model, processor = booked(tiny(kind))
    seen = counted(model.base_model, "get_rope_index", lambda ids, **_: len(ids))
    unbook(model, processor.store)
    model.base_model(**rollouts(inputs(processor, chats), [2, 1, 2, 2, 2, 2, 2]))
    assert seen == [3]  # two lengths of the first video's prompt, and the second video's


def test_rows_that_look_alike_but_for_size_or_time_have_positions_of_their_own(kind: str, tiny: Tiny) -> None:
    """Videos of 16 tokens each: two shapes of two frames, and the first shape again at another rate."""
    model = AutoModelForImageTextToText.from_pretrained(tiny(kind)).base_model
    frame = [2] * 8
    types = torch.tensor([[0, *frame, *([0] if kind == "qwen3_vl" else []), *frame, 0]] * 4)
    given: dict[str, Any] = {"video_grid_thw": torch.tensor([[2, 4, 8], [2, 8, 4], [2, 4, 8], [2, 4, 8]])}
    if kind == "qwen2_5_vl":
        given["second_per_grid_ts"] = torch.tensor([1.0, 1.0, 4.0, 1.0])
    seen = counted(model, "get_rope_index", lambda ids, **_: len(ids))
    ours = alike.shared(model.get_rope_index)(
        torch.zeros_like(types), mm_token_type_ids=types, attention_mask=torch.ones_like(types), **given
    )
    theirs = type(model).get_rope_index(model, torch.zeros_like(types), mm_token_type_ids=types, **given)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert seen == [3 if kind == "qwen2_5_vl" else 2]
    assert not torch.equal(theirs[0][:, 0], theirs[0][:, 1])


def test_a_prompt_is_read_once_for_all_its_rollouts(kind: str, tiny: Tiny, videos: list[Path], image: Path) -> None:
    chats = group(videos, image)
    model, processor = booked(tiny(kind))
    seen = counted(model.base_model.language_model, "forward", lambda **given: len(given["inputs_embeds"]))
    unbook(model, processor.store)
    ours = model.generate(**inputs(processor, chats), do_sample=False, max_new_tokens=4, min_new_tokens=4)
    assert seen == [5, 9, 9, 9]
    plain = plain_inputs(tiny(kind), chats)
    ordinary = AutoModelForImageTextToText.from_pretrained(tiny(kind))
    assert torch.equal(ours, ordinary.generate(**plain, do_sample=False, max_new_tokens=4, min_new_tokens=4))


def test_what_is_read_once_has_the_scores_of_ordinary_input_at_every_token(kind: str, tiny: Tiny, videos: list[Path], image: Path) -> None:
    chats = group(videos, image)
    settings = {"do_sample": False, "max_new_tokens": 4, "min_new_tokens": 4, "output_logits": True, "return_dict_in_generate": True}
    model, processor = booked(tiny(kind))
    unbook(model, processor.store)
    ours = model.generate(**inputs(processor, chats), **settings).logits
    theirs = AutoModelForImageTextToText.from_pretrained(tiny(kind)).generate(**plain_inputs(tiny(kind), chats), **settings).logits
    torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), rtol=1e-4, atol=1e-5)
    assert torch.stack(theirs).std(1).max() > 1e-2  # rows differ, so that mixed-up rows would be seen


def test_rollouts_of_a_prompt_are_still_drawn_apart(kind: str, tiny: Tiny, videos: list[Path]) -> None:
    model, processor = booked(tiny(kind))
    unbook(model, processor.store)
    torch.manual_seed(0)
    batch = inputs(processor, [chat("what color is the square ?", clip(videos[0]))] * 8)
    drawn = model.generate(**batch, do_sample=True, top_k=0, max_new_tokens=6)[:, batch["input_ids"].shape[1] :]
    assert len({tuple(row) for row in drawn.tolist()}) == 8


def test_with_gradients_every_row_is_read(kind: str, tiny: Tiny, videos: list[Path]) -> None:
    model, processor = booked(tiny(kind))
    seen = counted(model.base_model.language_model, "forward", lambda **given: len(given["inputs_embeds"]))
    unbook(model, processor.store)
    batch = inputs(processor, [chat("how many ?", clip(videos[0]))] * 4)
    model.base_model(**batch, use_cache=True, past_key_values=DynamicCache(config=model.config.get_text_config()))
    assert seen == [4]
    with torch.no_grad():
        model.base_model(**batch, use_cache=True, past_key_values=DynamicCache(config=model.config.get_text_config()))
    assert seen == [4, 1]


def test_without_sharing_nothing_is_shared(kind: str, tiny: Tiny, videos: list[Path]) -> None:
    model, processor = booked(tiny(kind))
    read = counted(model.base_model.language_model, "forward", lambda **given: len(given["inputs_embeds"]))
    placed = counted(model.base_model, "get_rope_index", lambda ids, **_: len(ids))
    unbook(model, processor.store, share=False)
    model.generate(**inputs(processor, [chat("how many ?", clip(videos[0]))] * 4), do_sample=False, max_new_tokens=2, min_new_tokens=2)
    assert read == [4, 4]
    assert set(placed) == {4}
