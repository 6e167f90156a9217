"""The longest option, as an answer."""

from collections.abc import Iterator

from vidground_core import Corpus, CorpusDetector, DetectorConfig, Question, Stages, Tally, Verdict


class LongestOption(CorpusDetector[DetectorConfig]):
    """Picks the longest option without reading the question: right means that length gives the answer away."""

    name, version = "longest-option", "1"

    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        """A question is judged by itself; ties at the longest length share the probability."""
        yield from (self._judge(question) for question in corpus)

    def _judge(self, question: Question) -> Verdict:
        longest = [option for option in question.options if len(option) == max(map(len, question.options))]
        if not longest:
            return Verdict(question.id, self.name, "longest option", None, None, evidence=("no options",))
        p_gold = longest.count(question.answer) / len(longest)
        tally = Tally(1, correct=int(p_gold == 1), p_gold=p_gold)
        return Verdict(question.id, self.name, "longest option", p_gold, p_gold == 1, {"text": tally}, evidence=(repr(longest[0]),))
