"""Records as Arrow columns and back: a column at a time, nested ones put together of their children, without a dict a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any

import pyarrow as pa

from vidground_core.records import Decision, Media, Question, Tally, Verdict

_TEXT_MAP = pa.map_(pa.string(), pa.string())
_NUMBER_MAP = pa.map_(pa.string(), pa.float64())
_MEDIA = pa.struct([("path", pa.string()), ("type", pa.string()), ("start", pa.float64()), ("end", pa.float64())])
_OUTCOMES = ("trials", "correct", "refused", "unparsed", "failed")
_TALLY = pa.struct([(name, pa.int64()) for name in _OUTCOMES] + [("p_gold", pa.float64())])
QUESTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("kind", pa.string()),
        ("media", pa.list_(_MEDIA)),
        ("group", pa.string()),
        ("source", pa.string()),
        ("tags", _TEXT_MAP),
    ]
)
VERDICT_SCHEMA = pa.schema(
    [
        ("question", pa.string()),
        ("detector", pa.string()),
        ("rule", pa.string()),
        ("shortcut", pa.float64()),
        ("answered", pa.bool_()),
        ("conditions", pa.map_(pa.string(), _TALLY)),
        ("scores", _NUMBER_MAP),
        ("evidence", pa.list_(pa.string())),
    ]
)
DECISION_SCHEMA = pa.schema(
    [
        ("question", pa.string()),
        ("kept", pa.bool_()),
        ("policy", pa.string()),
        ("version", pa.string()),
        ("reason", pa.string()),
        ("numbers", _NUMBER_MAP),
    ]
)


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values as an array of a type: lists of lists, structs of dicts, maps of lists of pairs; None anywhere but in a map's key."""
    nested = pa.types.is_list(kind) or pa.types.is_struct(kind)
    if not nested or None in values:
        return pa.array(values, type=kind)
    if pa.types.is_struct(kind):
        children = [array_of([value[field.name] for value in values], field.type) for field in kind]
        return pa.StructArray.from_arrays(children, fields=list(kind))
    return pa.ListArray.from_arrays(_offsets(values), array_of(list(chain.from_iterable(values)), kind.value_type), type=kind)


def _offsets(values: Iterable[Any]) -> pa.Array:
    return pa.array(accumulate(map(len, values), initial=0), type=pa.int32())


def _map(values: Sequence[Any], keys: Sequence[str], items: pa.Array, kind: pa.MapType) -> pa.Array:
    return pa.MapArray.from_arrays(_offsets(values), pa.array(keys, pa.string()), items, type=kind)


def _flat_map(values: Sequence[Any], kind: pa.MapType) -> pa.Array:
    """A column of mappings whose values are texts or numbers."""
    items = pa.array([item for value in values for item in value.values()], kind.item_type)
    return _map(values, list(chain.from_iterable(values)), items, kind)


def _struct(records: Sequence[Any], kind: pa.StructType) -> pa.Array:
    """Records whose attributes are the fields."""
    children = [pa.array([getattr(record, field.name) for record in records], field.type) for field in kind]
    return pa.StructArray.from_arrays(children, fields=list(kind))


def _list_column(values: Sequence[Any], items: pa.Array, kind: pa.ListType) -> pa.Array:
    return pa.ListArray.from_arrays(_offsets(values), items, type=kind)


def _question_columns(questions: Sequence[Question]) -> list[Any]:
    options, media = [q.options for q in questions], [q.media for q in questions]
    return [
        [q.id for q in questions],
        [q.text for q in questions],
        array_of(options, pa.list_(pa.string())),
        [q.answer for q in questions],
        [q.kind for q in questions],
        _list_column(media, _struct(list(chain.from_iterable(media)), _MEDIA), pa.list_(_MEDIA)),
        [q.group for q in questions],
        [q.source for q in questions],
        _flat_map([q.tags for q in questions], _TEXT_MAP),
    ]


def _verdict_columns(verdicts: Sequence[Verdict]) -> list[Any]:
    conditions = [v.conditions for v in verdicts]
    tallies = _struct([tally for of_one in conditions for tally in of_one.values()], _TALLY)
    return [
        [v.question for v in verdicts],
        [v.detector for v in verdicts],
        [v.rule for v in verdicts],
        [v.shortcut for v in verdicts],
        [v.answered for v in verdicts],
        _map(conditions, list(chain.from_iterable(conditions)), tallies, VERDICT_SCHEMA.field("conditions").type),
        _flat_map([v.scores for v in verdicts], _NUMBER_MAP),
        array_of([v.evidence for v in verdicts], pa.list_(pa.string())),
    ]


def _decision_columns(decisions: Sequence[Decision]) -> list[Any]:
    plain = [[getattr(d, field.name) for d in decisions] for field in DECISION_SCHEMA if field.name != "numbers"]
    return [*plain, _flat_map([d.numbers for d in decisions], _NUMBER_MAP)]


def _spans(column: pa.Array) -> Iterator[tuple[int, int]]:
    """Where each row's items lie in the flat child, as (begin, end)."""
    return pairwise(column.offsets.to_pylist())


def _lists(column: pa.ListArray) -> list[tuple[str, ...]]:
    """A column of lists of texts; a missing list is an empty one."""
    flat = column.values.to_pylist()
    return [tuple(flat[begin:end]) for begin, end in _spans(column)]


def _maps(column: pa.MapArray, items: Sequence[Any] | None = None) -> list[dict[str, Any]]:
    """A column of mappings, their values by default as Arrow gives them; a missing mapping is an empty one."""
    keys, values = column.keys.to_pylist(), column.items.to_pylist() if items is None else items
    return [dict(zip(keys[begin:end], values[begin:end], strict=True)) if begin < end else {} for begin, end in _spans(column)]


def _fields(column: pa.StructArray) -> list[list[Any]]:
    return [column.field(place).to_pylist() for place in range(column.type.num_fields)]


def _questions(batch: pa.RecordBatch) -> Iterator[Question]:
    ids, texts, options, answers, kinds, media, groups, sources, tags = batch.columns
    flat = [Media(*fields) for fields in zip(*_fields(media.values), strict=True)]
    shown = [tuple(flat[begin:end]) for begin, end in _spans(media)]
    given = (ids.to_pylist(), texts.to_pylist(), answers.to_pylist(), _lists(options), kinds.to_pylist(), shown)
    there = [[text or "" for text in column.to_pylist()] for column in (groups, sources)]
    return map(Question, *given, *there, _maps(tags))


def _verdicts(batch: pa.RecordBatch) -> Iterator[Verdict]:
    *plain, conditions, scores, evidence = batch.columns
    known: dict[tuple[Any, ...], Tally] = {}
    tallies = [known.get(row) or known.setdefault(row, Tally(*row)) for row in zip(*_fields(conditions.items), strict=True)]
    return map(Verdict, *(column.to_pylist() for column in plain), _maps(conditions, tallies), _maps(scores), _lists(evidence))


def _decisions(batch: pa.RecordBatch) -> Iterator[Decision]:
    *plain, numbers = batch.columns
    return map(Decision, *(column.to_pylist() for column in plain), _maps(numbers))


Columns = Callable[[Sequence[Any]], list[Any]]
Records = Callable[[pa.RecordBatch], Iterator[Any]]
_FORMS: dict[type[Any], tuple[pa.Schema, Columns, Records]] = {
    Question: (QUESTION_SCHEMA, _question_columns, _questions),
    Verdict: (VERDICT_SCHEMA, _verdict_columns, _verdicts),
    Decision: (DECISION_SCHEMA, _decision_columns, _decisions),
}


def table_of(records: Sequence[Any], record_type: type[Any]) -> pa.Table:
    """Records as a table."""
    schema, to_columns, _ = _FORMS[record_type]
    return pa.table(to_columns(records), schema=schema)


def records_of(batch: pa.RecordBatch, record_type: type[Any]) -> Iterator[Any]:
    """The records of a batch that has the type's columns, in any order and others beside them. Raises KeyError where one is missing."""
    schema, _, to_records = _FORMS[record_type]
    return to_records(batch.select(schema.names))
