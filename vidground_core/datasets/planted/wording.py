"""How topics are asked: the question's text and its options, so balanced that the text alone says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vidground_core.datasets.planted.draws import Draws
from vidground_core.datasets.planted.scenes import COLOURS, COUNTS, DIRECTIONS, SHAPES, Scene

OPTIONS = 4
TEXTS: Mapping[str, str] = {
    "colour": "what color is {each} {noun}?",
    "shape": "what shape is {each} {noun}?",
    "direction": "which way does {each} {noun} move?",
    "count": "how many objects are there?",
    "first": "which color comes first?",
    "last": "which color comes last?",
    "order": "in which order do the colors come?",
    "faster": "which color moves faster?",
    "slower": "which color moves slower?",
}
NOUN = "object"
COLOUR_TOPICS = frozenset({"colour", "first", "last", "faster", "slower"})
TOPIC_TAGS: Mapping[str, str] = {topic: "speed" if topic in {"faster", "slower"} else topic for topic in TEXTS}
_RIVALS: Mapping[str, str] = {"first": "last", "last": "first", "faster": "slower", "slower": "faster"}


@dataclass(frozen=True, slots=True)
class Item:
    """A question while it is made: `answer` is what the video shows and always one of `options`."""

    topic: str
    text: str
    options: tuple[str, ...]
    answer: str

    def prefixed(self, words: str) -> Item:
        """The same with words put before the question."""
        return replace(self, text=f"{words} {self.text}")

    def renamed(self, old: str, new: str) -> Item:
        """The same with one option's text replaced, in the answer too where it is the answer."""
        options = tuple(new if option == old else option for option in self.options)
        return replace(self, options=options, answer=new if self.answer == old else self.answer)


def values(topic: str) -> tuple[str, ...]:
    """All answers a topic can have."""
    if topic in COLOUR_TOPICS:
        return tuple(COLOURS)
    if topic == "order":
        return tuple(f"{first} then {last}" for first in COLOURS for last in COLOURS if first != last)
    return {"shape": SHAPES, "direction": tuple(DIRECTIONS), "count": COUNTS}[topic]


def text_of(scene: Scene, topic: str, noun: str = NOUN) -> str:
    """The bare question; `noun` names the thing asked for."""
    alone = len(scene.figures) == 1 or "order" in scene.facts
    return TEXTS[topic].format(each="the" if alone else "each", noun=noun)


def neutral_item(scene: Scene, topic: str, draws: Draws) -> Item:
    """The question without any cue: each of its options is equally likely to be right, given all of its text."""
    answer = scene.facts[topic]
    return Item(topic, text_of(scene, topic), _options(scene, topic, draws), answer)


def _options(scene: Scene, topic: str, draws: Draws) -> tuple[str, ...]:
    """Four options with the answer among them, exchangeable with the wrong ones.

    Where two colours are in the picture both are offered, and an order always comes with its reverse, as do its distractors: else an
    option's company would tell which one is right.
    """
    answer = scene.facts[topic]
    if topic == "order":
        first, last = scene.facts["first"], scene.facts["last"]
        other, another = draws.some([colour for colour in COLOURS if colour not in (first, last)], 2)
        pairs = ((first, last), (last, first), (other, another), (another, other))
        return tuple(draws.shuffled([f"{one} then {two}" for one, two in pairs]))
    fixed = [answer] + ([scene.facts[_RIVALS[topic]]] if topic in _RIVALS else [])
    rest = [value for value in values(topic) if value not in fixed]
    return tuple(draws.shuffled(fixed + draws.some(rest, OPTIONS - len(fixed))))
