"""A training step of `trl-grpo` on nano: native video, frames as images, and plain TRL on the same images, step by step in turn.

    python benchmarks/trl_step.py [--turns N] [--prompts N] [--group N] [--frames N] [--quick] [--json]

Five trainings, each in a process of its own on one thread: native video and frames as images (`video=images`), each with the vision tower
run once a distinct video and once a rollout (`share_videos=false`), and benchmarks/peers/trl_grpo_images.py, TRL without VidGround on the
same frames, texts and settings. All learn from the same questions of the planted world in the same order. They take turns, a step each;
a step is all from one step's beginning to the next: batch, rollouts, rewards, loss, update, log. Seconds are processor seconds, because
others may want the machine; ratios are those of the medians, the first turn is not counted. Peak memory is VmHWM of each process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PEERS = Path(__file__).resolve().parent / "peers"
RATE, SAVING, OVERHEAD = 30, 0.65, 1.05
SEED = 0
ARMS: Mapping[str, Mapping[str, Any]] = {
    "native": {},
    "native, a video a rollout": {"share_videos": False},
    "images": {"video": "images"},
    "images, a video a rollout": {"video": "images", "share_videos": False},
}
BARE = "plain TRL, images"
# What plain TRL is told under the same names, from the preset.
_SAME = (
    *("num_generations", "beta", "temperature", "top_p", "max_completion_length", "loss_type", "scale_rewards", "epsilon", "epsilon_high"),
    *("warmup_steps", "weight_decay", "max_grad_norm"),
)


def options(chosen: argparse.Namespace, arm: str) -> Any:
    """The options of an arm, as `vg train` would have them."""
    from vidground_trl.config import TRLGRPOConfig

    size = {"prompts_per_step": chosen.prompts, "num_generations": chosen.group, "frames": chosen.frames}
    steps = {"prompts": chosen.prompts * (chosen.turns + 2), "save_steps": 10**6, "video_check": 0}
    return TRLGRPOConfig(preset="nano", **size, **steps, **ARMS[arm])


def write_questions(folder: Path, wanted: int) -> None:
    """At least so many questions of the planted world."""
    from vidground_core import Question, load_registry
    from vidground_core.tables import TableWriter

    loader = load_registry().get("dataset", "planted")
    made = [row for row in loader(loader.Config(size=-(-wanted // 3), share=0.4)).load() if isinstance(row, Question)]
    with TableWriter(folder, Question) as out:
        for question in made:
            out.add(question)


def write_plain(folder: Path, data: Path, order: list[int], config: Any) -> None:
    """The rows, frames and settings of plain TRL: what `video=images` shows, in the same order."""
    from PIL import Image
    from vidground_trl.booking import timestamp
    from vidground_trl.instructions import instruct
    from vidground_trl.rows import clips_of, pick

    from vidground_core.media import load_clip
    from vidground_core.models import resolve_model

    lines = []
    for place, question in pick(data, order).items():
        content: list[dict[str, str]] = []
        images: list[str] = []
        for number, clip in enumerate(clips_of(question, config)):
            frames = load_clip(clip)
            for index, (array, second) in enumerate(zip(frames.array, frames.seconds, strict=True)):
                images.append(str(folder / f"{place}-{number}-{index}.png"))
                Image.fromarray(array).save(images[-1])
                content += [{"type": "text", "text": timestamp(second)}, {"type": "image"}]
        content.append({"type": "text", "text": instruct(question, prompt="bare", answer_format="plain", accuracy="option-text")})
        lines.append((place, json.dumps({"content": content, "images": images, "gold": question.answer})))
    rows = dict(lines)
    (folder / "rows.jsonl").write_text("".join(rows[place] + "\n" for place in order), encoding="utf-8")
    same = {name: getattr(config, name) for name in _SAME}
    same |= {"learning_rate": config.lr, "lr_scheduler_type": config.schedule, "seed": SEED}
    same |= {"per_device_train_batch_size": config.prompts_per_step * config.num_generations}
    settings = {"model": resolve_model("nano"), "rows": str(folder / "rows.jsonl"), "out": str(folder), "arguments": same}
    settings["steps"] = len(order) // config.prompts_per_step
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")


class Training:
    """A training in a process of its own that does a step when it is told to."""

    def __init__(self, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True, env=os.environ | dict(env)
            )
        self._answer()

    def step(self) -> dict[str, Any]:
        """Does a step: processor seconds, tokens consumed, mean tokens of a completion."""
        return self._tell("")

    def end(self) -> float:
        """Ends the process: the most memory that it held, in MB."""
        peak = float(self._tell("end")["peak_mb"])
        self._process.wait()
        return peak

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _tell(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@{"):
                found: dict[str, Any] = json.loads(line[1:])
                return found
        raise SystemExit(f"a training ended: {' '.join(self._log.read_text(errors='replace').split())[-500:]}")


def start(folder: Path, chosen: argparse.Namespace) -> dict[str, Training]:
    """All trainings, each at its first step."""
    from vidground_trl.grpo import TRLGRPO

    from vidground_core import TrainJob
    from vidground_core.models import resolve_model

    data = folder / "data"
    write_questions(data, chosen.prompts * (chosen.turns + 2))
    started: dict[str, Training] = {}
    try:
        for arm in ARMS:
            out, config = folder / arm, options(chosen, arm)
            out.mkdir()
            plan = TRLGRPO(config).plan(TrainJob(data, resolve_model("nano"), out, SEED, threads=1))
            for path, text in plan.files.items():
                Path(path).write_text(text, encoding="utf-8")
            started[arm] = Training([sys.executable, __file__, "--work", str(out)], plan.env, folder / f"{arm}.log")
        plain = folder / "plain"
        plain.mkdir()
        order = json.loads((folder / "images" / "order.json").read_text(encoding="utf-8"))["order"]
        write_plain(plain, data, order, options(chosen, "images"))
        command = [sys.executable, str(PEERS / "trl_grpo_images.py"), str(plain / "settings.json")]
        started[BARE] = Training(command, plan.env, folder / "plain.log")
    except BaseException:
        for training in started.values():
            training.stop()
        raise
    return started


def measure(chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """By arm: median and least seconds of a step, prompt tokens of a prompt, peak memory."""
    rollouts = chosen.prompts * chosen.group
    with tempfile.TemporaryDirectory() as folder:
        trainings = start(Path(folder), chosen)
        steps: dict[str, list[dict[str, Any]]] = {arm: [] for arm in trainings}
        try:
            for turn in range(chosen.turns + 1):
                for arm in list(trainings)[:: 1 if turn % 2 else -1]:
                    steps[arm].append(trainings[arm].step())
            peaks = {arm: training.end() for arm, training in trainings.items()}
        finally:
            for training in trainings.values():
                training.stop()
    found = {}
    for arm, done in steps.items():
        seconds = [step["seconds"] for step in done[1:]]
        tokens = statistics.mean(step["tokens"] / rollouts - step["completion"] for step in done)
        found[arm] = {"seconds": statistics.median(seconds), "least": min(seconds), "tokens": tokens, "peak_mb": peaks[arm]}
    if abs(found["images"]["tokens"] - found[BARE]["tokens"]) > 1e-3:
        raise SystemExit(f"plain TRL was shown other prompts: {found[BARE]['tokens']} tokens, not {found['images']['tokens']}")
    return found


def table(found: Mapping[str, Mapping[str, float]], chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows, in the form that benchmarks/run.py reads."""
    step = {arm: each["seconds"] for arm, each in found.items()}
    rate = {arm: chosen.prompts / seconds for arm, seconds in step.items()}
    rows = [
        {"what": "native video", "value": rate["native"], "unit": "prompts/s", "limit": RATE, "ratio": rate["native"] / RATE}
        | {"aim": f">= {RATE} prompts/s"}
    ]
    fastest = chosen.prompts / found["native"]["least"]
    rows.append({"what": "native video, its fastest step", "value": fastest, "unit": "prompts/s", "limit": RATE, "ratio": fastest / RATE})
    once = rate["native, a video a rollout"]
    rows.append({"what": "native video, vision tower a rollout", "value": once, "unit": "prompts/s", "ratio": once / rate["native"]})
    rows[-1]["limit"] = "native video"
    for what, arm, other, aim in (
        ("native video beside frames as images", "native", "images", SAVING),
        ("frames as images beside plain TRL", "images", BARE, OVERHEAD),
        ("frames as images, vision tower a rollout, beside plain TRL", "images, a video a rollout", BARE, OVERHEAD),
    ):
        row = {"what": f"step: {what}", "value": step[arm], "unit": "s", "limit": step[other], "ratio": step[arm] / step[other]}
        rows.append(row | {"aim": f"<= {aim}"})
    for name, key, unit in (("tokens of a prompt", "tokens", "tokens"), ("peak memory", "peak_mb", "MB")):
        for arm, each in found.items():
            against = found[BARE if arm.startswith("images") else "images"][key] if arm != BARE else None
            ratio = None if against is None else each[key] / against
            rows.append({"what": f"{name}: {arm}", "value": each[key], "unit": unit, "limit": against, "ratio": ratio})
    return rows


def work(out: Path) -> None:
    """A training of ours in this process, which waits for its turns; the settings stand in `out`."""
    sys.path.insert(0, str(PEERS))
    from turns import Turns
    from vidground_trl.grpo_run import GRPORun
    from vidground_trl.job import WorkerJob
    from vidground_trl.run import Setting

    class InTurns(GRPORun):
        def build(self, setting: Setting) -> Any:
            trainer = super().build(setting)
            trainer.add_callback(Turns())
            return trainer

    InTurns(WorkerJob.read(out / "worker.json"), out).train()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=12, help="steps of each training that count")
    parser.add_argument("--prompts", type=int, default=16, help="prompts of a step")
    parser.add_argument("--group", type=int, default=8, help="rollouts of a prompt")
    parser.add_argument("--frames", type=int, default=8, help="frames of a video")
    parser.add_argument("--quick", action="store_true", help="two turns of two prompts with two rollouts on four frames")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(chosen.work)
        return
    lacking = [name for name in ("vidground_trl", "trl") if find_spec(name) is None]
    if lacking:
        print(json.dumps({"benchmark": "trl_step", "missing": f"{', '.join(lacking)}: pip install vidground-trl"}))
        return
    if chosen.quick:
        chosen.turns, chosen.prompts, chosen.group, chosen.frames = 2, 2, 2, 4
    rows = table(measure(chosen), chosen)
    if chosen.json:
        print(json.dumps({"benchmark": "trl_step", "rows": rows}))
        return
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(f"{row['what']:<62}{row['value']:>10.3f} {row['unit']:<10}{ratio:>7}  {row.get('aim') or ''}")


if __name__ == "__main__":
    main()
