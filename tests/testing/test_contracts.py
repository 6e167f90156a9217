"""Every check of a contract suite fails for a component that breaks it: a check that cannot fail is no check."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict, Field

from vidground_core import (
    Ask,
    BatchEngine,
    Component,
    ComponentConfig,
    Corpus,
    CorpusDetector,
    DatasetConfig,
    DatasetLoader,
    Decision,
    DetectorConfig,
    EngineConfig,
    InputError,
    Judged,
    Probe,
    ProbeConfig,
    ProbeDetector,
    Question,
    Reply,
    RowFilter,
    SetAside,
    Stages,
    Tally,
    Trainer,
    TrainerConfig,
    TrainJob,
    TrainPlan,
    TrainResult,
    Verdict,
)
from vidground_core.testing import (
    ComponentContract,
    DetectorContract,
    EngineContract,
    FakeEngine,
    FilterContract,
    LoaderContract,
    TrainerContract,
    check_component,
)

TURN = itertools.count()


SLOW = "importing it loads no model library"


def broken(suite: type[ComponentContract], component: type[Component[Any]], **options: Any) -> dict[str, str]:
    """Failed checks by name with their messages; all but the one that starts a process."""
    tested = type("Suite", (suite,), {"component": component, "options": options})()
    found = {}
    for name in (name for name in dir(tested) if name.startswith("test_")):
        check = name.removeprefix("test_").replace("_", " ")
        try:
            if check != SLOW:
                getattr(tested, name)()
        except AssertionError as error:
            found[check] = str(error).partition("\n")[0]
    return found


class Sound(ProbeDetector[ProbeConfig]):
    """Asks every question once."""

    name, version = "sound", "1"

    def probes(self, question: Question) -> Sequence[Probe]:
        return [Probe(Ask((("user", (question.text,)),), question.options))]

    def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
        if replies[0].status == "failed":
            return Verdict(question.id, self.name, "any", None, None, {"blind": Tally(1, failed=1)}, evidence=("failed",))
        return Verdict(question.id, self.name, "any", 0.5, False, {"blind": Tally(1)})


def test_a_sound_component_breaks_nothing() -> None:
    checks = check_component("detector", Sound)
    assert [check for check in checks if not check.ok] == []
    assert SLOW in {check.check for check in checks}


def test_a_suite_that_names_no_component_says_what_to_write() -> None:
    with pytest.raises(NotImplementedError, match="DetectorContract must say what it tests: component = YourClass"):
        DetectorContract().test_name_is_kebab_case()


class Config(ComponentConfig):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=False, extra="allow")
    bare: int = 1


class Sloppy(Component[Config]):
    name, version, Config = "Sloppy Name", "", Config


Sloppy.__doc__ = None


def test_name_version_docstring_and_options() -> None:
    found = broken(ComponentContract, Sloppy)
    assert found["name is kebab case"] == "Sloppy.name = 'Sloppy Name': use lower-case words joined by '-'"
    assert found["version is a text"] == "Sloppy.version is empty: set a version, such as '1'"
    assert found["docstring begins with one line of purpose"].startswith("Sloppy has no docstring")
    assert found["every option is described"] == "Config: no description on bare"
    assert found["options are frozen and unknown ones refused"] == "Config is not frozen: keep ComponentConfig's model_config"


class Lossy(ComponentConfig):
    value: Any = Field((1, 2), description="Comes back from JSON as a list.")


class LossyComponent(Component[Lossy]):
    """Options that change."""

    name, version, Config = "lossy", "1", Lossy


def test_options_that_do_not_survive_json() -> None:
    assert broken(ComponentContract, LossyComponent)["options survive json"].startswith("options change on their way through JSON")


def test_a_module_that_loads_a_model_library(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "heavy_module_of_test.py").write_text("import torch\n")
    heavy = type("Heavy", (Sound,), {"__module__": "heavy_module_of_test", "__doc__": "Heavy."})
    (failed,) = [check for check in check_component("detector", heavy) if not check.ok]
    message = "importing heavy_module_of_test loads torch: import inside the functions that need it"
    assert (failed.component, failed.check, failed.message) == ("detector:sound", SLOW, message)


class Detectors:
    """Detectors that each break one rule."""

    class Misplaced(Sound):
        """Writes another question's id."""

        def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
            return replace(super().verdict(question, replies), question="other")

    class Unsigned(Sound):
        """Signs with another name."""

        def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
            return replace(super().verdict(question, replies), detector="other")

    class Boundless(Sound):
        """Scores above one."""

        def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
            return replace(super().verdict(question, replies), shortcut=1.5)

    class Overcounting(Sound):
        """Counts more outcomes than trials."""

        def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
            return replace(super().verdict(question, replies), conditions={"blind": Tally(1, correct=1, failed=1)})

    class Speechless(Sound):
        """Judges nothing and does not say why."""

        def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
            return Verdict(question.id, self.name, "any", None, None)

    class Moody(Sound):
        """Says something else each time."""

        def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
            return replace(super().verdict(question, replies), scores={"turn": float(next(TURN))})

    class TagReader(Sound):
        """Reads the tags."""

        def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
            return replace(super().verdict(question, replies), scores={"tags": float(len(question.tags))})

    class Prompter(Sound):
        """Tells the model the answer."""

        def probes(self, question: Question) -> Sequence[Probe]:
            return [Probe(Ask((("user", (f"{question.text} (it is {question.answer})",)),), question.options))]

    class Careless(Sound):
        """Takes a failure for a wrong answer."""

        def verdict(self, question: Question, replies: Sequence[Reply]) -> Verdict:
            return Verdict(question.id, self.name, "any", 0.0, False)

    class Needy(Sound):
        """Needs what no engine has."""

        @property
        def needs(self) -> frozenset[str]:
            return frozenset({"telepathy"})


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Detectors.Misplaced, "one verdict a question in order", "verdicts do not follow the questions"),
        (Detectors.Unsigned, "one verdict a question in order", "verdicts are signed ['other'], not 'sound'"),
        (Detectors.Boundless, "numbers make sense", "verdict on 'c0-0': shortcut 1.5 is not in 0..1"),
        (Detectors.Overcounting, "numbers make sense", "verdict on 'c0-0', condition 'blind': 2 outcomes of 1 trials"),
        (Detectors.Speechless, "numbers make sense", "verdict on 'c0-0' judges nothing and does not say why: put the reason into evidence"),
        (Detectors.Moody, "same input same verdict", "a second run gives other verdicts: leave time and unseeded chance out"),
        (Detectors.TagReader, "tags change nothing", "a verdict depends on the question's tags"),
        (Detectors.Prompter, "asks do not know the answer", "question 'c0-0' is asked differently when its answer is another"),
        (Detectors.Careless, "failed replies are no answers", "'c0-0' is called answered=False though every reply failed"),
        (
            Detectors.Needy,
            "needs are known capabilities",
            "needs ['telepathy'], which is none of text, letters, logprobs, images, video, sampling",
        ),
    ],
)
def test_a_detector_that_breaks_a_rule_is_told_which(component: type[Component[Any]], check: str, message: str) -> None:
    assert broken(DetectorContract, component)[check] == message


class Forgetful(CorpusDetector[DetectorConfig]):
    """Says something else when its stages are there."""

    name, version = "forgetful", "1"

    def judge_all(self, corpus: Corpus, stages: Stages) -> Iterator[Verdict]:
        import pyarrow as pa

        seen = stages.get("all") is not None
        stages.put("all", pa.table({"x": [1]}))
        return (Verdict(question.id, self.name, "any", float(seen), seen) for question in corpus)


def test_a_corpus_detector_must_read_its_stages_back() -> None:
    assert broken(DetectorContract, Forgetful) == {"stages are read back": "other verdicts when stages are read back"}


def test_a_detector_of_neither_kind() -> None:
    class Neither(Component[ComponentConfig]):
        """Nothing."""

        name, version = "neither", "1"

    failed = {check.check: check.message for check in check_component("detector", Neither) if not check.ok}
    assert failed["is one of the two kinds"] == f"{Neither.__qualname__} is not a Detector"
    assert failed["numbers make sense"] == "TypeError: Neither is neither a ProbeDetector nor a CorpusDetector"


class Filters:
    """Filters that each break one rule."""

    class Sound(RowFilter[Any]):
        """Keeps everything."""

        name, version = "keep-all", "1"

        def decide_row(self, question: Question, verdicts: Any) -> Decision:
            return Decision(question.id, True, self.name, self.version, "kept")

    class Unsigned(Sound):
        """Signs with another name."""

        def decide_row(self, question: Question, verdicts: Any) -> Decision:
            return replace(super().decide_row(question, verdicts), policy="other")

    class Silent(Sound):
        """Gives no reason."""

        def decide_row(self, question: Question, verdicts: Any) -> Decision:
            return replace(super().decide_row(question, verdicts), reason=" ")

    class Infinite(Sound):
        """Gives a number that is none."""

        def decide_row(self, question: Question, verdicts: Any) -> Decision:
            return replace(super().decide_row(question, verdicts), numbers={"x": float("nan")})

    class Moody(Sound):
        """Decides something else each time."""

        def decide_row(self, question: Question, verdicts: Any) -> Decision:
            return replace(super().decide_row(question, verdicts), numbers={"turn": float(next(TURN))})

    class TagReader(Sound):
        """Reads the tags."""

        def decide_row(self, question: Question, verdicts: Any) -> Decision:
            return replace(super().decide_row(question, verdicts), numbers={"tags": float("label" in question.tags)})

    class Skipping(Sound):
        """Forgets what it keeps."""

        def decide(self, rows: Any) -> Iterator[Decision]:
            return iter(list(super().decide(rows))[1:])

    class Inventive(Sound):
        """Decides about what is not there."""

        def decide(self, rows: Any) -> Iterator[Decision]:
            yield from super().decide(rows)
            yield Decision("invented", True, self.name, self.version, "kept")


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Filters.Unsigned, "decisions are signed and explained", "the decision on 'c0-0' is signed ('other', '1')"),
        (Filters.Silent, "decisions are signed and explained", "the decision on 'c0-0' gives no reason"),
        (Filters.Infinite, "decisions are signed and explained", "the decision on 'c0-0': numbers ['x'] are not finite"),
        (Filters.Moody, "same verdicts same decisions", "a second pass decides otherwise: draw only from a configured seed"),
        (Filters.TagReader, "tags change nothing", "a decision depends on the question's tags"),
        (Filters.Skipping, "one decision a question in order", "decisions do not follow the questions"),
        (Filters.Inventive, "nothing in nothing out", "decisions about no questions"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_told_which(component: type[Component[Any]], check: str, message: str) -> None:
    assert broken(FilterContract, component)[check] == message


def test_rows_of_the_filter_contract_cover_all_answers() -> None:
    class Suite(FilterContract):
        component = Filters.Sound

    rows: list[Judged] = Suite().rows
    assert {verdict.answered for _, verdicts in rows for verdict in verdicts.values()} == {True, False, None}


class Loaders:
    """Loaders that each break one rule."""

    class Sound(DatasetLoader[DatasetConfig]):
        """Two rows and one set aside."""

        name, version = "three-rows", "1"

        def load(self) -> Iterator[Question | SetAside]:
            if "at-all" in self.config.path:
                raise InputError(f"{self.config.path!r}: no such file")
            yield Question("a", "?", "x", ("x", "y"), group="v")
            yield Question("b", "?", "x", ("x", "y"), group="v")
            yield SetAside("file", 3, "no answer")

    class Repeating(Sound):
        """Repeats an id."""

        def load(self) -> Iterator[Question | SetAside]:
            return itertools.chain(super().load(), super().load())

    class Whole(Sound):
        """Holds all rows."""

        def load(self) -> Any:
            return list(super().load())

    class Empty(Sound):
        """Has no rows."""

        def load(self) -> Iterator[Question | SetAside]:
            return (row for row in super().load() if isinstance(row, SetAside))

    class Unsound(Sound):
        """Gives an answer that is no option."""

        def load(self) -> Iterator[Question | SetAside]:
            yield Question("a", "?", "z", ("x", "y"))

    class Mute(Sound):
        """Does not say why a row is set aside."""

        def load(self) -> Iterator[Question | SetAside]:
            yield from super().load()
            yield SetAside("file", 4, "")

    class Restless(Sound):
        """Loads something else each time."""

        def load(self) -> Iterator[Question | SetAside]:
            yield Question(f"q{next(TURN)}", "?", "x", ("x",))

    class Patient(Sound):
        """Does not mind a missing file."""

        def load(self) -> Iterator[Question | SetAside]:
            yield Question("a", "?", "x", ("x",))


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Loaders.Repeating, "ids are unique", "ids occur more than once: a, b"),
        (Loaders.Whole, "rows stream", "load() must return an iterator, not a list"),
        (Loaders.Empty, "there are questions", "no question was loaded from the given path"),
        (Loaders.Unsound, "questions are sound", "question 'a': the answer 'z' is no option"),
        (Loaders.Mute, "rows set aside say why", "a row was set aside without a reason: SetAside(file='file', line=4, reason='', id='')"),
        (Loaders.Restless, "loading twice gives the same", "a second pass loads other rows"),
        (Loaders.Patient, "a missing path is one clear error", "loading a missing path raised no error"),
    ],
)
def test_a_loader_that_breaks_a_rule_is_told_which(component: type[Component[Any]], check: str, message: str) -> None:
    assert broken(LoaderContract, component, path="x")[check] == message


class Engines:
    """Engines that each break one rule."""

    class Nameless(FakeEngine):
        """Has another identity each time."""

        @property
        def identity(self) -> str:
            return str(next(TURN))

    class Unable(FakeEngine):
        """Claims what does not exist."""

        can = frozenset({"telepathy"})

    class Failing(FakeEngine):
        """Fails plain asks."""

        def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
            return [Reply("failed", error="no") for _ in asks]

    class Uneven(FakeEngine):
        """Scores one continuation too few."""

        def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
            return [replace(reply, logprobs=reply.logprobs[1:]) for reply in super().answer_batch(asks)]

    class Neighbourly(FakeEngine):
        """Answers by the size of the batch."""

        def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
            return [replace(reply, logprobs=tuple(value - len(asks) for value in reply.logprobs)) for reply in super().answer_batch(asks)]

    class Forward(FakeEngine):
        """Answers without the video."""

    class Sound(FakeEngine):
        """Fails an ask whose video is missing."""

        def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
            replies = super().answer_batch(asks)
            return [Reply("failed", error="no such file") if ask.clips else reply for ask, reply in zip(asks, replies, strict=True)]


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Engines.Unable, "says what it can", "can ['telepathy'] is none of text, letters, logprobs, images, video, sampling"),
        (Engines.Failing, "every ask is answered once", "a plain ask failed: no"),
        (Engines.Uneven, "scores every continuation", "1 log-probabilities for 2 continuations"),
        (Engines.Neighbourly, "batches do not change replies", "log-probabilities differ by 2 nats between a batch and a single ask"),
        (Engines.Forward, "a missing video is a failed reply", "an ask with a missing video was answered"),
    ],
)
def test_an_engine_that_breaks_a_rule_is_told_which(component: type[Component[Any]], check: str, message: str) -> None:
    assert broken(EngineContract, component)[check] == message


def test_an_identity_must_not_change() -> None:
    found = broken(EngineContract, Engines.Nameless)
    assert found["identity is known before the model is loaded"].startswith("identity changes from one object to the next")


class Trainers:
    """Trainers that each break one rule."""

    class Sound(Trainer[TrainerConfig]):
        """Trains nothing."""

        name, version = "toy-grpo", "1"

        def check(self, job: TrainJob) -> list[str]:
            return []

        def plan(self, job: TrainJob) -> TrainPlan:
            return TrainPlan(("python", "--data", str(job.data)))

        def train(self, job: TrainJob) -> TrainResult:
            return TrainResult(job.out, 0, 0, 0)

    class Mute(Sound):
        """Says nothing in a sentence."""

        def check(self, job: TrainJob) -> list[str]:
            return [""]

    class Writing(Sound):
        """Writes while planning."""

        def plan(self, job: TrainJob) -> TrainPlan:
            job.out.mkdir(exist_ok=True)
            return super().plan(job)

    class Restless(Sound):
        """Plans something else each time."""

        def plan(self, job: TrainJob) -> TrainPlan:
            return TrainPlan(("python", str(next(TURN))))

    class Joining(Sound):
        """Joins flag and value."""

        def plan(self, job: TrainJob) -> TrainPlan:
            return TrainPlan(("python", "--data=x"))

    class Nameless(Sound):
        """Is named by no back-end."""

        name = "toy"


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Trainers.Mute, "check gives sentences", "check() returned ['']"),
        (Trainers.Writing, "plan is pure", "plan() wrote files"),
        (Trainers.Restless, "plan is pure", "a second plan differs from the first"),
        (Trainers.Joining, "plan is a command", "argv joins flag and value: ['--data=x']"),
        (Trainers.Nameless, "name begins with its back end", "'toy': name a trainer <backend>-<method>"),
    ],
)
def test_a_trainer_that_breaks_a_rule_is_told_which(component: type[Component[Any]], check: str, message: str) -> None:
    assert broken(TrainerContract, component)[check] == message


def test_an_engine_needs_its_own_suite_for_more_than_the_general_checks() -> None:
    class Plain(BatchEngine[EngineConfig]):
        """Is an engine."""

        name, version = "plain", "1"

    assert broken(ComponentContract, Plain) == {}


def test_sound_components_of_every_kind_break_nothing() -> None:
    assert broken(FilterContract, Filters.Sound) == {}
    assert broken(LoaderContract, Loaders.Sound, path="x") == {}
    assert broken(EngineContract, Engines.Sound) == {}
    assert broken(TrainerContract, Trainers.Sound) == {}
