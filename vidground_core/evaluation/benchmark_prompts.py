"""The text that an evaluation harness puts to a benchmark's questions, where it has one of its own for that benchmark.

`vg eval --prompt lmms-eval` and `--prompt vlmevalkit` take these by the question's data set; for every other data set the prompt of that
name in `prompts.py` stands, which is the harness's for Video-MME. Texts are verbatim, errors of spelling too.

Sources: lmms-eval 0.7.3, tasks/{mmvu,mvbench,nextqa,tempcompass,tomato,videommmu}; VLMEvalKit, dataset/{MVBench,tempcompass}.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vidground_core.evaluation.prompts import LETTERS
from vidground_core.records import Question

BENCHMARK_PROMPTS_VERSION = "1"
HARNESSES = ("lmms-eval", "vlmevalkit")

_MEDIA = "{media}"


@dataclass(frozen=True)
class BenchmarkPrompt:
    """A harness's text for one benchmark, or one of its tasks.

    `{question}` and `{options}` are filled in; the media stand at `{media}`, else before the text. `option` is one option's line;
    as a "mapping" the options are a Python dictionary by letter on one line. `open_layout` is for questions without options.
    """

    layout: str
    open_layout: str = ""
    option: str = "{letter}. {text}"
    options_as: Literal["lines", "mapping"] = "lines"

    def render(self, question: Question, order: Sequence[int]) -> tuple[str, str]:
        """The texts before and after the media; options in the given order (indices into `question.options`)."""
        layout = self.layout if question.options or not self.open_layout else self.open_layout
        before, marker, after = layout.partition(_MEDIA)
        before, after = (before, after) if marker else ("", layout)
        return self._filled(before, question, order), self._filled(after, question, order)

    def _filled(self, layout: str, question: Question, order: Sequence[int]) -> str:
        # Filled in from the two ends, so that braces within a question or an option stay as they are.
        parts = [part.replace("{question}", question.text) for part in layout.split("{options}")]
        return self._options(question, order).join(parts)

    def _options(self, question: Question, order: Sequence[int]) -> str:
        shown = {LETTERS[place]: question.options[index] for place, index in enumerate(order)}
        if self.options_as == "mapping":
            return str(shown)
        return "\n".join(self.option.replace("{letter}", letter).replace("{text}", text) for letter, text in shown.items())


def benchmark_prompt(harness: object, question: Question) -> BenchmarkPrompt | None:
    """The text of a harness (one of `HARNESSES`) for a question, by its `source` and the tags of the loader; None where it has none."""
    if harness not in HARNESSES:
        return None
    tasks = _PROMPTS[str(harness)].get(question.source, {})
    return tasks.get(question.tags.get(_TASK_TAGS.get(question.source, ""), ""), tasks.get(""))


# The tag that tells the tasks of a benchmark apart.
_TASK_TAGS = {"videommmu": "track", "tempcompass": "task"}

_DIRECTLY = "{question}\n{options}\nPlease directly give the best option:"
_QUIZ = "{question}\n{options}\nPlease ignore the Quiz question in last frame of the video."
_LEARN = "You should watch and learn the video content. Then apply what you learned to answer the following "
_AT_THE_END = " question. The image for this question is at the end of the video.\n{question}"
_MMVU = "\nQuestion:{question}\n%sVisual Information: processed video\nDo not generate any intermediate reasoning process. %s\n"
_TOMATO = (
    "You will be provided with frames uniformly sampled from a video, the frames are provided in chronological order of the video. Analyze"
    " these frames and provide the answer to the question about the video content. Answer the multiple-choice question about the video"
    " content.\n\nYou must use these frames to answer the multiple-choice question; do not rely on any externel knowledge or commonsense. "
    "\n\n<question> \n{question} \n</question>\n\n<options> \n{options} \n</options>\n\nEven if the information in these separate frames is"
    " not enough to answer the question, PLEASE TRY YOUR BEST TO GUESS AN ANSWER WHICH YOU THINK WOULD BE THE MOST POSSIBLE ONE BASED ON"
    " THE QUESTION. \n\nDO NOT GENERATE ANSWER SUCH AS 'NOT POSSIBLE TO DETERMINE.' \n"
)
_WATCH_CAREFULLY = (
    "\nCarefully watch the video and pay attention to the cause and sequence of events, the detail and movement of objects, and the action"
    " and pose of persons. Based on your observations, select the best option that accurately addresses the question.\n\n"
)

_PROMPTS: Mapping[str, Mapping[str, Mapping[str, BenchmarkPrompt]]] = {
    "lmms-eval": {
        "mmvu": {
            "": BenchmarkPrompt(
                _MMVU % ("{options}\n", "Answer directly with the option letter from the\ngiven choices."),
                _MMVU % ("", "Directly output the final answer."),
                option="{letter}: {text}",
            )
        },
        "mvbench": {
            "": BenchmarkPrompt("Question:{question}\nOption:\n{options}\nOnly give the best option.\n", option="({letter}) {text}")
        },
        "nextqa": {"": BenchmarkPrompt("{question}\n{options}")},
        "tempcompass": {"": BenchmarkPrompt(_DIRECTLY), "yes_no": BenchmarkPrompt("{question}\nPlease answer yes or no:")},
        "tomato": {"": BenchmarkPrompt(_TOMATO, options_as="mapping")},
        "videommmu": {
            "": BenchmarkPrompt(_QUIZ),
            "Adaptation": BenchmarkPrompt(_LEARN + "multi-choice" + _AT_THE_END + "\n{options}", _LEARN + "open-ended" + _AT_THE_END),
        },
    },
    "vlmevalkit": {
        "mvbench": {
            "": BenchmarkPrompt(
                _WATCH_CAREFULLY + "Question: {question}\nOptions:\n{options}\nOnly give the best option.{media}Best option:(",
                option="({letter}) {text}",
            )
        },
        "tempcompass": {
            "": BenchmarkPrompt("{question}\n{options}{media}\nPlease directly give the best option:"),
            "yes_no": BenchmarkPrompt("{question}{media}\nPlease answer yes or no:"),
        },
    },
}
