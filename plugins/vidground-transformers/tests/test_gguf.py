"""GGUF files, written here from small models with known weights; and a real one where it has been fetched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
from vidground_transformers.engine import TransformersConfig, TransformersEngine
from vidground_transformers.gguf import gguf_file, is_gguf

from vidground_core import Ask, EngineError
from vidground_core.models import cache_folder

TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}{% endfor %}"
ASK = Ask((("user", ("What color is it? A. red B. blue",)),), ("A", "red", "blue and very red"))
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.": "blk.",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


def small_model(*, tied: bool) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = Qwen2Config(
        vocab_size=len(vocabulary()), initializer_range=0.5, tie_word_embeddings=tied, max_position_embeddings=256, **sizes
    )
    return Qwen2ForCausalLM(config).eval()


def vocabulary() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return ["<pad>", "<end>", *sorted(ByteLevel.alphabet()), "re"]


def write(path: Path, model: Qwen2ForCausalLM, *, coarse: tuple[str, ...] = (), output: bool = True, architecture: str = "qwen2") -> Path:
    """The model as a GGUF in float32; the tensors whose names begin as in `coarse` are quantised to 4 bits."""
    writer = gguf.GGUFWriter(path, architecture)
    settings = model.config
    writer.add_block_count(settings.num_hidden_layers)
    writer.add_context_length(settings.max_position_embeddings)
    writer.add_embedding_length(settings.hidden_size)
    writer.add_feed_forward_length(settings.intermediate_size)
    writer.add_head_count(settings.num_attention_heads)
    writer.add_head_count_kv(settings.num_key_value_heads)
    writer.add_rope_freq_base(settings.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(settings.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary())
    writer.add_token_types([3, 3] + [1] * (len(vocabulary()) - 2))
    writer.add_token_merges(["r e"])
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    writer.add_chat_template(TEMPLATE)
    weights = model.state_dict() | {"lm_head.weight": model.lm_head.weight}
    for name, tensor in weights.items():
        for ours, theirs in _NAMES.items():
            name = name.replace(ours, theirs)
        if not (name.startswith("output.") and not output):
            kind = gguf.GGMLQuantizationType.Q4_0 if name.startswith(coarse or ("-",)) else gguf.GGMLQuantizationType.F32
            writer.add_tensor(name, gguf.quantize(tensor.detach().numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def start(model: Path, **options: Any) -> TransformersEngine:
    engine = TransformersEngine(TransformersConfig(model=str(model), **options))
    engine.start()
    return engine


def plain(model: Any, engine: TransformersEngine, ask: Ask) -> list[float]:
    tokenizer, sums = engine._running.encoder.tokenizer, []
    head = tokenizer(f"[user] {ask.messages[0][1][0]}")["input_ids"]
    for tail in ask.continuations:
        ids = tokenizer(tail)["input_ids"]
        with torch.no_grad():
            logprobs = model(torch.tensor([head + ids])).logits[0].log_softmax(-1)
        sums.append(sum(float(logprobs[len(head) - 1 + place, token]) for place, token in enumerate(ids)))
    return sums


def test_a_file_gives_what_its_model_gives(tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = small_model(tied=True)
    path = write(tmp_path / "model.gguf", model, output=False)
    engine = start(path, dtype="float32")
    assert engine.can == {"text", "logprobs", "sampling"}
    assert engine._running.encoder.tokenizer.decode(engine._running.encoder.encode(ASK).ids) == f"[user] {ASK.messages[0][1][0]}"
    (reply,) = engine.answer_batch([ASK])
    assert reply.logprobs == pytest.approx(plain(model, engine, ASK), abs=1e-4)
    # "red" is "re" and "d": the file's merges are used.
    assert reply.tokens == (1, 2, 16)
    assert engine._running.loaded.vocabulary.ends == (1,)
    assert capfd.readouterr() == ("", "")


def test_a_folder_with_one_file_is_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = write(folder / "Model.GGUF", small_model(tied=True))
    (folder / "README.md").write_text("a model")
    engine = TransformersEngine(TransformersConfig(model=str(folder)))
    assert engine.can == {"text", "logprobs", "sampling"}
    assert gguf_file(str(folder)) == path
    assert engine.identity == TransformersEngine(TransformersConfig(model=str(path))).identity
    assert start(folder, dtype="float32").answer_batch([ASK]) == start(path, dtype="float32").answer_batch([ASK])
    (folder / "config.json").write_text("{}")
    assert not is_gguf(str(folder))


def test_it_is_made_into_a_folder_once_by_content(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.gguf", small_model(tied=True))
    first = start(path).answer_batch([ASK])
    (made,) = cache.iterdir()
    assert made.name.endswith("-bfloat16-1")
    monkeypatch.setattr("vidground_transformers.gguf._convert", lambda *_: pytest.fail("made again"))
    moved = path.rename(tmp_path / "b.gguf")
    assert start(moved).answer_batch([ASK]) == first
    monkeypatch.undo()
    monkeypatch.setenv("VG_CACHE", str(cache.parent))
    assert start(moved, dtype="float32")._running.loaded.model.dtype is torch.float32
    assert sorted(folder.name[-10:] for folder in cache.iterdir()) == ["bfloat16-1", "-float32-1"][::-1]


def test_identity_follows_the_contents(tmp_path: Path) -> None:
    def identity(path: Path) -> str:
        return TransformersEngine(TransformersConfig(model=str(path))).identity

    first, other = small_model(tied=True), small_model(tied=True)
    with torch.no_grad():
        other.model.norm.weight[3] += 1
    one, same, changed = (write(tmp_path / name, model) for name, model in (("1.gguf", first), ("2.gguf", first), ("3.gguf", other)))
    assert identity(one) == identity(same) != identity(changed)
    assert "gguf:1:sha256:" in identity(one)


@pytest.mark.parametrize(("tied", "expected"), [(True, True), (False, False)])
def test_embeddings_are_tied_where_the_file_holds_one_matrix_twice(tied: bool, expected: bool, tmp_path: Path) -> None:
    model = small_model(tied=tied)
    loaded = start(write(tmp_path / "model.gguf", model, coarse=("token_embd",)), dtype="float32")._running.loaded.model
    embedding, head = loaded.get_input_embeddings().weight, loaded.get_output_embeddings().weight
    assert (embedding.data_ptr() == head.data_ptr()) is expected
    assert torch.equal(head, model.lm_head.weight)
    # The coarse copy is used only where it is the only one.
    assert torch.equal(embedding, model.get_input_embeddings().weight) is expected


def test_four_bits_are_near_the_model(tmp_path: Path) -> None:
    model = small_model(tied=True)
    engine = start(write(tmp_path / "model.gguf", model, coarse=("blk.0.ffn",), output=False), dtype="float32")
    given, expected = engine._running.loaded.model.state_dict(), model.state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    assert 0.01 < float((given[name] - expected[name]).norm() / expected[name].norm()) < 0.12
    assert torch.equal(given["model.layers.1.mlp.up_proj.weight"], expected["model.layers.1.mlp.up_proj.weight"])


def test_which_file_is_said(tmp_path: Path) -> None:
    for name in ("model-q4.gguf", "model-q8.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    split = tmp_path / "model-00002-of-00003.gguf"
    engine = TransformersEngine(TransformersConfig(model=str(tmp_path)))
    for use in (engine.start, lambda: engine.identity):
        with pytest.raises(EngineError) as error:
            use()
        assert str(error.value) == f"{str(tmp_path)!r} holds 2 GGUF files: model-q4.gguf, model-q8.gguf; name one of them with --model"
    split.write_bytes(b"GGUF")
    with pytest.raises(EngineError) as error:
        start(split)
    assert str(error.value) == f"{str(split)!r} is part 2 of 3 of a split GGUF; join them first: llama-gguf-split --merge FIRST OUT"


def test_files_that_cannot_be_read(tmp_path: Path, cache: Path) -> None:
    broken, unknown = tmp_path / "broken.gguf", tmp_path / "unknown.gguf"
    broken.write_bytes(np.random.default_rng(0).bytes(4096))
    write(unknown, small_model(tied=True), architecture="rwkv99")
    for path, text in {
        broken: f"{broken} does not start with the GGUF magic bytes, so it is not a GGUF file",
        unknown: "GGUF model with architecture rwkv99 is not supported yet",
    }.items():
        with pytest.raises(EngineError) as error:
            start(path)
        assert str(error.value) == (
            f"the engine 'transformers' cannot load the model {str(path)!r}: {text}; --model takes a folder with config.json, weights and "
            "tokenizer, a .gguf file, a name on the hub, or nano"
        )
        assert not list(cache.iterdir())
    with pytest.raises(EngineError, match="there is no such folder"):
        start(tmp_path / "missing.gguf")


@pytest.fixture
def smollm2(monkeypatch: pytest.MonkeyPatch) -> Path:
    """SmolLM2-135M-Instruct of the folder that `make test-models` fills; converted once, in the user's own cache."""
    monkeypatch.undo()
    folder = Path(os.environ.get("VG_TEST_MODELS") or cache_folder() / "test-models")
    path = folder / "smollm2-135m-instruct.gguf"
    if not path.is_file():
        pytest.skip(f"{path} is not there; `make test-models` fetches it (98 MB), VG_TEST_MODELS names another folder")
    return path


@pytest.mark.slow
def test_a_real_checkpoint(smollm2: Path, started: Callable[..., TransformersEngine]) -> None:
    engine = started(str(smollm2), max_new_tokens=12)
    france = "What is the capital of France?"
    (reply,) = engine.answer_batch([Ask((("user", (france,)),))])
    assert "Paris" in reply.text
    sentences = (
        " The capital of France is Paris, a city on the river Seine.",
        " Seine river the on city a, Paris is France of capital The.",
    )
    (reply,) = engine.answer_batch([Ask((("user", (france,)),), sentences)])
    right, scrambled = (total / count for total, count in zip(reply.logprobs, reply.tokens, strict=True))
    assert right > -3.0
    assert scrambled < right - 1.5
    lettered = "Where do fish live?\nA. in trees\nB. in water\nAnswer with the option's letter from the given choices directly."
    (reply,) = engine.answer_batch([Ask((("user", (lettered,)),), ("A", "B", "C"))])
    assert reply.tokens == (1, 1, 1)
    assert sum(torch.tensor(reply.logprobs[:2]).exp()) > 0.5
