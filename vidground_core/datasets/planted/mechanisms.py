"""The ways in which a planted question gives its answer away without the video.

The first four stand for the paper's four kinds of text-answerable question; the others are faults of how options are made. Each
mechanism lets the text point to one option, the *target*: the answer in a TA question, a wrong option where the cue misleads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from vidground_core.datasets.planted.draws import Draws
from vidground_core.datasets.planted.scenes import Scene
from vidground_core.datasets.planted.wording import COLOUR_TOPICS, OPTIONS, TEXTS, Item, text_of, values

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "red": ("crimson", "scarlet"),
    "green": ("emerald", "lime"),
    "blue": ("azure", "navy"),
    "yellow": ("golden", "amber"),
    "white": ("snowy", "pale"),
    "purple": ("violet", "lilac"),
    "circle": ("round",),
    "square": ("boxy",),
    "triangle": ("pointed",),
    "cross": ("crossed",),
    "left": ("leftward",),
    "right": ("rightward",),
    "up": ("rising",),
    "down": ("sinking",),
    "one": ("single",),
    "two": ("double",),
    "three": ("triple",),
    "four": ("fourfold",),
}
NOUNS: Mapping[str, tuple[str, ...]] = {
    "red": ("tomato", "cherry"),
    "green": ("frog", "cucumber"),
    "blue": ("ocean", "whale"),
    "yellow": ("banana", "lemon"),
    "white": ("snowman", "egg"),
    "purple": ("plum", "eggplant"),
    "circle": ("coin", "wheel"),
    "square": ("tile", "chessboard"),
    "triangle": ("pyramid", "tent"),
    "cross": ("plus", "crossroad"),
    "left": ("tide", "writer"),
    "right": ("train", "arrow"),
    "up": ("rocket", "balloon"),
    "down": ("anchor", "raindrop"),
}
# What one pictures on reading the words, though the video shows coloured figures.
EVENTS: Mapping[str, Mapping[str, str]] = {
    "first": {
        "red": "a fire dies",
        "green": "a leaf withers",
        "blue": "a pool drains",
        "yellow": "the sun sets",
        "white": "the snow melts",
        "purple": "a bruise heals",
    },
    "last": {
        "red": "a tomato ripens",
        "green": "a seed sprouts",
        "blue": "the fog clears",
        "yellow": "the sun rises",
        "white": "the snow falls",
        "purple": "a grape ripens",
    },
    "direction": {"left": "a tape rewinds", "right": "a tape plays", "up": "a bird takes off", "down": "a stone drops"},
    "count": {"one": "a soloist plays", "two": "a duel starts", "three": "a trio plays", "four": "a quartet plays"},
}
LONG = "it is clearly {}"
QUIZ = "quiz:"


@dataclass(frozen=True, slots=True)
class Mechanism:
    """`plant(scene, item, target, draws)` gives the item a cue to `target`, one of its options; `topics` are those it can be
    planted in, at least one in every layout.

    `misleads` is False where the cue cannot point to a wrong option, so that no conflict row exists.
    """

    topics: frozenset[str]
    plant: Callable[[Scene, Item, str, Draws], Item]
    misleads: bool = True


def _textual_shortcut(_: Scene, item: Item, target: str, draws: Draws) -> Item:
    return item.prefixed(f"in the {draws.one(SYNONYMS[target])} clip,")


def _external_knowledge(scene: Scene, item: Item, target: str, draws: Draws) -> Item:
    return replace(item, text=text_of(scene, item.topic, draws.one(NOUNS[target])))


def _elimination(_: Scene, item: Item, target: str, draws: Draws) -> Item:
    excluded = draws.shuffled([option for option in item.options if option != target])
    return item.prefixed(f"neither {' nor '.join(excluded)}:")


def _imagined_content(_: Scene, item: Item, target: str, __: Draws) -> Item:
    return item.prefixed(f"{EVENTS[item.topic][target]}:")


def _word_overlap(_: Scene, item: Item, target: str, __: Draws) -> Item:
    return item.prefixed(f"in the {target} clip,")


def _longest_option(_: Scene, item: Item, target: str, __: Draws) -> Item:
    return item.renamed(target, LONG.format(target))


def _position(_: Scene, item: Item, target: str, __: Draws) -> Item:
    return replace(item.prefixed(QUIZ), options=(target, *(option for option in item.options if option != target)))


def _give_away(_: Scene, item: Item, target: str, draws: Draws) -> Item:
    own = COLOUR_TOPICS if item.topic in COLOUR_TOPICS else {item.topic}
    impossible = [value for topic in ("colour", "shape", "direction", "count") if topic not in own for value in values(topic)]
    return replace(item, options=tuple(draws.shuffled([target, *draws.some(impossible, OPTIONS - 1)])))


_ALL = frozenset(TEXTS)
MECHANISMS: Mapping[str, Mechanism] = {
    "textual-shortcut": Mechanism(_ALL - {"order"}, _textual_shortcut),
    "external-knowledge": Mechanism(frozenset({"colour", "shape", "direction"}), _external_knowledge),
    "elimination": Mechanism(_ALL - {"order"}, _elimination),
    "imagined-content": Mechanism(frozenset(EVENTS), _imagined_content),
    "give-away": Mechanism(_ALL, _give_away, misleads=False),
    "longest-option": Mechanism(_ALL - {"order"}, _longest_option),
    "word-overlap": Mechanism(_ALL, _word_overlap),
    "position": Mechanism(_ALL, _position),
}
