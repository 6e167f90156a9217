"""Sentence embeddings as the text features of the question-only classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from vidground_core import QuestionOnly, QuestionOnlyConfig


class QuestionOnlyEmbeddingsConfig(QuestionOnlyConfig):
    """Options of the detector."""

    c: float = Field(0.001, gt=0, description="Inverse of the classifier's L2 penalty; smaller is simpler.")
    embedder: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        min_length=1,
        description="Folder or hub name of the encoder; its last hidden states are averaged over the tokens.",
    )
    max_tokens: int = Field(256, ge=8, description="Longer texts are cut after so many tokens.")
    device: str = Field("auto", description="Where the encoder runs: auto, cpu, cuda or cuda:N.")


class QuestionOnlyEmbeddings(QuestionOnly[QuestionOnlyEmbeddingsConfig]):
    """The question-only classifier on sentence embeddings instead of words.

    A (question, option) pair is q·o elementwise, |q − o| and o − mean of the question's options, of unit vectors q and o, each column
    standardised over the set: nothing tells where an option stands. Folds, scores and reading are those of `question-only`; open-ended
    questions are classified by their words as there.
    """

    name = "question-only-embeddings"
    version = "1"
    Config: ClassVar[type[Any]] = QuestionOnlyEmbeddingsConfig

    def pair_matrix(self, rows: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[Any, list[str]]:
        """Three blocks of the encoder's width, float32, for each pair; no names, so that no words are given as reasons."""
        from vidground_transformers.encoder import Encoder, pair_vectors

        if not rows:
            return pair_vectors(rows, {}), []
        texts = sorted({text for asked, options in rows for text in (asked, *options)})
        encoder = Encoder(self.config.embedder, max_tokens=self.config.max_tokens, device=self.config.device)
        return pair_vectors(rows, dict(zip(texts, encoder.embed(texts), strict=True))), []
