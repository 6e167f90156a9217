"""What happens in a planted video, before any pixel: figures, their ways, and the facts that questions ask for.

Times run from 0 to 1 over the whole clip, whatever its length and frame rate: who looks only at the beginning sees the wrong thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vidground_core.datasets.planted.draws import Draws

SIDE = 56
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 200, 40),
    "blue": (50, 80, 230),
    "yellow": (230, 220, 50),
    "white": (235, 235, 235),
    "purple": (170, 50, 200),
}
SHAPES = ("circle", "square", "triangle", "cross")
DIRECTIONS: Mapping[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
COUNTS = ("one", "two", "three", "four")
RATES = (8, 10, 12, 15, 16)
SHORTEST, LONGEST = 1.0, 4.0

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One drawn thing: it goes straight from `start` (at time 0) to `end` (at time 1) and is seen from `begin` until `until`.

    Points and `radius` are in pixels of a 56 x 56 picture.
    """

    shape: str
    colour: str
    radius: float
    start: Point
    end: Point
    begin: float = 0.0
    until: float = 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip: `frames` pictures at `rate` a second on a grey `ground` (0..255). `facts` maps a topic to what is true of it."""

    frames: int
    rate: int
    ground: int
    figures: tuple[Figure, ...]
    facts: Mapping[str, str]


def make_scene(draws: Draws) -> Scene:
    """A scene of one of the four layouts. Every fact is drawn evenly from its values, independently of the other facts of its text."""
    layout = draws.one((_mover, _sequence, _crowd, _race))
    rate = draws.one(RATES)
    frames = round(draws.between(SHORTEST, LONGEST) * rate)
    ground = 5 + draws.below(41)
    figures, facts = layout(draws)
    return Scene(frames, rate, ground, figures, facts)


def _mover(draws: Draws) -> tuple[tuple[Figure, ...], dict[str, str]]:
    """One figure crosses the picture."""
    shape, colour, direction = draws.one(SHAPES), draws.one(tuple(COLOURS)), draws.one(tuple(DIRECTIONS))
    across, way = draws.between(-9, 9), draws.between(30, 38)
    figure = Figure(shape, colour, draws.between(9, 12), *_path(direction, way, 0.0, across))
    return (figure,), {"colour": colour, "shape": shape, "direction": direction}


def _path(direction: str, way: float, along: float, across: float) -> tuple[Point, Point]:
    """Both ends of a way of `way` pixels whose middle is `along` its line and `across` it from the picture's middle."""
    dx, dy = DIRECTIONS[direction]
    x, y = SIDE / 2 + along * dx + across * abs(dy), SIDE / 2 + along * dy + across * abs(dx)
    return (x - dx * way / 2, y - dy * way / 2), (x + dx * way / 2, y + dy * way / 2)


def _sequence(draws: Draws) -> tuple[tuple[Figure, ...], dict[str, str]]:
    """One figure, then another of a different colour; the change comes anywhere in the middle third."""
    shape, (first, last) = draws.one(SHAPES), draws.some(tuple(COLOURS), 2)
    change = draws.between(0.35, 0.65)
    places = [(draws.between(13, SIDE - 13), draws.between(13, SIDE - 13)) for _ in range(2)]
    figures = (
        Figure(shape, first, 10.0, places[0], places[0], until=change),
        Figure(shape, last, 10.0, places[1], places[1], begin=change),
    )
    return figures, {"first": first, "last": last, "order": f"{first} then {last}", "shape": shape}


def _crowd(draws: Draws) -> tuple[tuple[Figure, ...], dict[str, str]]:
    """One to four equal figures that appear one by one: how many there are is only seen late."""
    shape, colour, count = draws.one(SHAPES), draws.one(tuple(COLOURS)), 1 + draws.below(4)
    figures: list[Figure] = []
    for x, y in draws.some([(14, 14), (42, 14), (14, 42), (42, 42)], count):
        place = (x + draws.between(-3, 3), y + draws.between(-3, 3))
        begin = 0.0 if not figures else draws.between(0.1, 0.5)
        figures.append(Figure(shape, colour, 9.0, place, place, begin=begin))
    return tuple(figures), {"count": COUNTS[count - 1], "colour": colour, "shape": shape}


def _race(draws: Draws) -> tuple[tuple[Figure, ...], dict[str, str]]:
    """Two figures of different colours go the same way in two lanes, one far and one hardly."""
    shape, direction, (fast, slow) = draws.one(SHAPES), draws.one(tuple(DIRECTIONS)), draws.some(tuple(COLOURS), 2)
    lane = draws.one((-14.0, 14.0))
    figures = (
        Figure(shape, fast, 8.0, *_path(direction, draws.between(32, 38), 0.0, lane)),
        Figure(shape, slow, 8.0, *_path(direction, draws.between(4, 9), draws.between(-13, 13), -lane)),
    )
    return figures, {"faster": fast, "slower": slow, "direction": direction}
