"""Question-only on sentence embeddings: pooling by hand, features without position, one-line refusals; and MiniLM where it was fetched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, BertTokenizerFast
from vidground_transformers.embeddings import QuestionOnlyEmbeddings, QuestionOnlyEmbeddingsConfig
from vidground_transformers.encoder import Encoder, pair_vectors

from vidground_core import ConfigError, EngineError, Media, Question
from vidground_core.config import build
from vidground_core.models import cache_folder
from vidground_core.plugins import load_registry
from vidground_core.testing.contracts import DetectorContract

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "red",
    "green",
    "blue",
    "what",
    "colour",
    "is",
    "the",
    "sky",
    "grass",
    "rose",
    "?",
    "a",
]
SKY = {"sky": "blue", "grass": "green", "rose": "red"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with random weights, saved as a sentence encoder is."""
    folder = tmp_path_factory.mktemp("encoder")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=64, initializer_range=0.5, **sizes)).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


class Corpus(tuple[Question, ...]):
    """A corpus in memory."""

    __slots__ = ()

    def other_media(self, question: Question, seed: int) -> tuple[Media, ...]:
        raise NotImplementedError


class Kept(dict[str, pa.Table]):
    """Stages in memory."""

    def put(self, name: str, value: pa.Table) -> None:
        self[name] = value


def detector(encoder: Path | str, **options: Any) -> QuestionOnlyEmbeddings:
    return QuestionOnlyEmbeddings(QuestionOnlyEmbeddingsConfig(embedder=str(encoder), **options))


class TestContract(DetectorContract):
    component: ClassVar[type[Any]] = QuestionOnlyEmbeddings

    @pytest.fixture(autouse=True)
    def _encoder(self, encoder: Path) -> None:
        type(self).options = {"embedder": str(encoder)}


def test_it_is_found_by_its_entry_point_without_loading_a_model_library() -> None:
    assert load_registry(restrict="transformers").get("detector", "question-only-embeddings") is QuestionOnlyEmbeddings
    code = "import sys, vidground_transformers.plugin; print({'torch', 'transformers', 'sklearn', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_text_is_the_mean_of_its_tokens_alone_or_in_a_batch(encoder: Path) -> None:
    texts = ["red", "what colour is the sky ?", "a red rose", "red"]
    found = Encoder(str(encoder)).embed(texts)
    model, tokenizer = AutoModel.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder)
    for text, vector in zip(texts, found, strict=True):
        with torch.no_grad():
            tokens = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = tokens.mean(dim=0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_long_texts_are_cut(encoder: Path) -> None:
    cut = Encoder(str(encoder), max_tokens=8).embed(["red " * 50, "red " * 6])
    assert cut[0] == pytest.approx(cut[1], abs=1e-6)


def test_features_are_product_difference_and_distance_from_the_mean() -> None:
    one, two, three = (np.array(numbers, dtype=np.float32) for numbers in ([1, 0], [0, 1], [0.6, 0.8]))
    raw = [
        [*(one * two), *np.abs(one - two), *(two - (two + three) / 2)],
        [*(one * three), *np.abs(one - three), *(three - (two + three) / 2)],
        [*(two * one), *np.abs(two - one), *(one - one)],
    ]
    wanted = np.array(raw)
    spread = wanted.std(axis=0)
    wanted = (wanted - wanted.mean(axis=0)) / np.where(spread > 0, spread, 1)
    found = pair_vectors([("q", ("b", "c")), ("b", ("q",))], {"q": one, "b": two, "c": three})
    assert found == pytest.approx(wanted, abs=1e-5)
    assert pair_vectors([], {}).shape == (0, 0)


def test_the_order_of_options_changes_no_feature(encoder: Path) -> None:
    rows = [("what colour is the sky ?", ("red", "blue", "green")), ("is the rose red ?", ("a rose", "grass"))]
    matrix, names = detector(encoder).pair_matrix(rows)
    turned, _ = detector(encoder).pair_matrix([(asked, options[::-1]) for asked, options in rows])
    assert names == []
    assert turned == pytest.approx(matrix[[2, 1, 0, 4, 3]], abs=1e-5)


def test_it_learns_what_words_tell_and_its_folds_are_those_of_question_only(encoder: Path) -> None:
    things = list(SKY)
    questions = [
        Question(
            f"{video}", f"what colour is the {things[video % 3]} ?", SKY[things[video % 3]], ("red", "green", "blue"), group=f"v{video}"
        )
        for video in range(90)
    ]
    stages = Kept()
    verdicts = list(detector(encoder, c=1.0, text_folds=False).judge_all(Corpus(questions), stages))
    assert all(verdict.answered for verdict in verdicts)
    assert verdicts[0].detector == "question-only-embeddings"
    assert len(verdicts[0].evidence) == 2
    assert set(verdicts[0].scores) == {"p_gold", "chance", "margin", "random_folds_p_gold", "random_folds_right"}
    held = set(stages["grouped-0"]["row"].to_pylist())
    other = [
        Question(question.id, question.text, "red" if row in held else question.answer, question.options, group=question.group)
        for row, question in enumerate(questions)
    ]
    again = Kept()
    list(detector(encoder, c=1.0, text_folds=False).judge_all(Corpus(other), again))
    assert again["grouped-0"].equals(stages["grouped-0"])
    assert not again["grouped-1"].equals(stages["grouped-1"])


def test_an_embedder_that_does_not_load_is_one_line(tmp_path: Path) -> None:
    questions = [Question(f"{video}", "what ?", "a", ("a", "b"), group=f"v{video}") for video in range(4)]
    with pytest.raises(EngineError) as caught:
        list(detector(tmp_path).judge_all(Corpus(questions), Kept()))
    message = str(caught.value)
    assert message.startswith(f"question-only-embeddings: cannot load the embedder {str(tmp_path)!r}: ")
    assert message.endswith("; embedder takes a folder with config.json, weights and tokenizer, or a name on the hub")
    assert "\n" not in message


def test_without_questions_with_options_no_model_is_loaded(tmp_path: Path) -> None:
    assert list(detector(tmp_path).judge_all(Corpus([]), Kept())) == []


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="question-only-embeddings: embedder = '': String should have at least 1 character"):
        build(QuestionOnlyEmbeddingsConfig, {"embedder": ""}, "question-only-embeddings")


@pytest.mark.shared
@pytest.mark.slow
def test_minilm_beats_the_words_on_nextqa() -> None:
    from vidground_core.datasets.nextqa import NextQALoader

    path = Path(__file__).parents[3] / ".." / "shared" / "data" / "nextqa" / "test.csv"
    model = Path(os.environ.get("VG_TEST_MODELS") or cache_folder() / "test-models") / "all-minilm-l6-v2"
    if not path.is_file():
        pytest.skip(f"no shared data beside the checkout ({path})")
    if not model.is_dir():
        pytest.skip(f"no sentence encoder in {model}; make test-models fetches it")
    rows = NextQALoader(build(NextQALoader.Config, {"path": str(path)}, "nextqa")).load()
    questions = [row for row in rows if isinstance(row, Question)]
    verdicts = list(detector(model, random_folds=False, text_folds=False).judge_all(Corpus(questions), Kept()))
    assert sum(bool(verdict.answered) for verdict in verdicts) / len(verdicts) > 0.32
