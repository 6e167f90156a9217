"""Small checkpoints, and one vLLM that the tests share: loading it takes half a minute of processor time."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from vidground_vllm.config import VLLMConfig
from vidground_vllm.engine import VLLMEngine

from vidground_core.models import cache_folder
from vidground_core.testing.media import counting_video

HERE = find_spec("vllm") is not None
# A short model length and a small cache: what the machine of a test has.
SMALL: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "max_model_len": 512, "kv_cache_gib": 0.25, "block_size": 32}
SMOL = "smollm2-135m-instruct.gguf"
_TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% if enable_thinking is defined and not enable_thinking %} so{% endif %}{% endif %}"
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "vllm: needs vLLM, which has an environment of its own: make test-backend-vllm")
    # vLLM leaves it to the garbage collector, which comes at any test.
    config.addinivalue_line("filterwarnings", "ignore:Unclosed context <zmq:ResourceWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("vllm"):
            # Warnings of the library's own are not ours to mend.
            item.add_marker(pytest.mark.filterwarnings("default"))
            if not HERE:
                item.add_marker(pytest.mark.skip(reason="vLLM is not in this environment: make test-backend-vllm"))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A text model with random weights, and a chat template that has a thinking switch."""
    return make_llama(tmp_path_factory.mktemp("llama"), _TEMPLATE)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same without a chat template."""
    return make_llama(tmp_path_factory.mktemp("base"), None)


def make_llama(folder: Path, template: str | None) -> str:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    specials = ["<pad>", "<end>", "<unk>"]
    vocabulary = {token: index for index, token in enumerate([*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", unk_token="<unk>")
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(1)
    # vLLM's attention has kernels for heads of 32, 64, 80, … and for none of less.
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    ends = {"eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None}
    config = LlamaConfig(**sizes, **ends, vocab_size=len(vocabulary), max_position_embeddings=2048, initializer_range=0.2)
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def text_model(llama: str) -> str:
    """SmolLM2-135M-Instruct where `make test-models` has fetched it, else the model with random weights."""
    import os

    gguf = Path(os.environ.get("VG_TEST_MODELS") or cache_folder() / "test-models") / SMOL
    if not gguf.is_file() or find_spec("gguf") is None or find_spec("vidground_transformers") is None:
        return llama
    from vidground_transformers.gguf import as_folder

    return str(as_folder(str(gguf), dtype="float32"))


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return counting_video(tmp_path_factory.mktemp("media") / "counting.mp4", height=56, width=56)


@pytest.fixture(scope="session")
def engine(text_model: str) -> Iterator[VLLMEngine]:
    """The shared vLLM."""
    started = VLLMEngine(VLLMConfig(model=text_model, **SMALL))
    started.start()
    yield started
    started.close()
