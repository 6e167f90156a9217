"""How much memory a training needs on each GPU, from the model's dimensions and the trainer's options; plain Python.

With P parameters of w bytes, N processes and, in brackets, what is divided by N under `parallel`:

- weights P·w [fsdp2, deepspeed-zero3]; gradients P·w [those and deepspeed-zero2]; AdamW's two moments 2·P·w [likewise]; DDP's buckets P·w
- with bf16, DeepSpeed holds weights and gradients in 2 bytes and a float32 copy with its moments, 12·P, beside; under fsdp2 accelerate
  makes weights, and with them gradients and moments, float32 whatever they were loaded in, and gathers them in bfloat16
- reference model P·w where beta is not 0, none with LoRA (the adapters are switched off for it)
- bfloat16 copies of float32 weights for autocast, 2·P, not under fsdp2, where they are gathered in it
- activations of a pass of B rows of S tokens: without checkpointing `layers`·B·S·layer; with it `layers`·B·S·hidden + B·S·layer (one
  layer at a time is made again). layer = 6·hidden + 4·intermediate + 2·queries + 2·keys numbers, what autograd keeps of these models'
  layers (8·hidden in bfloat16, whose norms compute in float32); the same for the vision tower over its patches,
  with the pixels of each patch and 4·width numbers of the merger
- the head's log-probabilities come in tiles: TILE numbers, and a float32 gradient of the head
- rollouts of a process together: keys and values 2·layers·keys for each of R·S tokens, and the larger of three copies of R·vocabulary
  float32 logits and one layer's numbers in the prefill; under deepspeed-zero3 also all weights, which TRL gathers to generate
- fsdp2 and deepspeed-zero3 hold what they gather while it is used: embedding, head and two layers

The peak is the standing part and the larger of a pass and the rollouts. The tests compare weights, gradients, moments, activations and
the cache of keys and values with what torch holds on a CPU. Buffers of the libraries and fragmentation are not known: a tenth is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vidground_trl.model_size import ModelSize, Tower

Parallel = Literal["ddp", "fsdp2", "deepspeed-zero2", "deepspeed-zero3"]
GIB = 2**30
# Tokens and vocabulary entries of one tile of TRL's chunked log-probabilities.
TILE = 4096 * 32768
OVERHEAD = 0.1
# Tokens around a frame that is shown as an image: its time ("12.5s:", a token a character or fewer), begin and end of an image.
MARKS = 8
_SHARDED: Mapping[str, tuple[str, ...]] = {
    "ddp": (),
    "fsdp2": ("weights", "gradients", "optimizer", "reference"),
    "deepspeed-zero2": ("gradients", "optimizer"),
    "deepspeed-zero3": ("weights", "gradients", "optimizer", "reference"),
}


@dataclass(frozen=True)
class Load:
    """What a process holds and passes at once.

    `prompt` and `completion` are tokens, `patches` those of one prompt's media; `rows` pass the model together, `videos` distinct prompts
    among them; `rollouts` are generated together (0: none). `weights` and `compute` are bytes of a number. `trained` counts the parameters
    that learn, all by default.
    """

    prompt: int
    completion: int
    patches: int
    rows: int
    videos: int
    rollouts: int = 0
    weights: int = 4
    compute: int = 4
    reference: bool = False
    checkpointing: bool = True
    processes: int = 1
    parallel: Parallel = "ddp"
    trained: int | None = None


@dataclass(frozen=True)
class Estimate:
    """Bytes on one GPU. `standing` is there all the time; a pass and the rollouts come one after the other."""

    standing: Mapping[str, int]
    activations: int
    head: int
    rollouts: int

    @property
    def peak(self) -> int:
        """The most that is needed at once, with a tenth on top."""
        return int((1 + OVERHEAD) * (sum(self.standing.values()) + max(self.activations + self.head, self.rollouts)))

    def sentence(self) -> str:
        """The estimate in one line, in GiB."""
        parts = {**self.standing, "activations": self.activations, "head": self.head, "rollouts": self.rollouts}
        shown = ", ".join(f"{name} {value / GIB:.1f}" for name, value in parts.items() if value)
        return f"about {self.peak / GIB:.1f} GiB a GPU at the peak ({shown})"


def estimate(size: ModelSize, load: Load) -> Estimate:
    """The memory of one process."""
    trained = size.parameters if load.trained is None else load.trained
    full = load.trained is None
    half = load.compute == 2
    mixed, upcast = load.parallel.startswith("deepspeed") and half, load.parallel == "fsdp2" and half
    held = 2 if mixed else 4 if upcast else load.weights
    standing = {
        "weights": size.parameters * held,
        "gradients": trained * held,
        "optimizer": trained * (12 if mixed else 2 * held),
        "reference": size.parameters * (2 if mixed else load.weights) if load.reference and full else 0,
        "buckets": trained * held if load.processes > 1 and load.parallel == "ddp" else 0,
        "autocast": size.parameters * 2 if load.compute < held and not upcast else 0,
        "gathered": _gathered(size) * load.compute if "weights" in _SHARDED[load.parallel] and load.processes > 1 else 0,
    }
    shared = _SHARDED[load.parallel]
    standing = {name: value // load.processes if name in shared else value for name, value in standing.items()}
    together = size.parameters * load.compute if load.parallel == "deepspeed-zero3" and load.rollouts else 0
    return Estimate(standing, activations(size, load), _head(size), _rollouts(size, load) + together)


def _gathered(size: ModelSize) -> int:
    layer = (size.parameters - size.visual - 2 * size.vocabulary * size.text.hidden) // size.text.layers
    return 2 * size.vocabulary * size.text.hidden + 2 * max(0, layer)


def activations(size: ModelSize, load: Load) -> int:
    """Bytes that autograd keeps of one forward pass."""
    tokens = load.rows * (load.prompt + load.completion)
    text = _kept(size.text, tokens, kept_by_text_layer(size, load), load)
    patches = load.videos * load.patches
    vision = _kept(size.vision, patches, kept_by_vision_layer(size, load), load)
    ends = patches * load.compute * (3 * size.frames * size.patch**2 + 4 * size.vision.hidden)
    return text + vision + ends


def _kept(tower: Tower, tokens: int, layer: int, load: Load) -> int:
    if load.checkpointing:
        return tokens * (tower.layers * tower.hidden * load.compute + layer)
    return tokens * tower.layers * layer


def kept_by_text_layer(size: ModelSize, load: Load) -> int:
    """Bytes that a layer of the language model keeps for each token."""
    tower, number = size.text, load.compute
    normed = 6 if number == 4 else 8
    wide = 2 if size.kind != "qwen3_vl" else 4 if number == 4 else 5  # the norms of queries and keys keep them too
    return number * (normed * tower.hidden + 4 * tower.intermediate + wide * (tower.queries + tower.keys))


def kept_by_vision_layer(size: ModelSize, load: Load) -> int:
    """Bytes that a layer of the vision tower keeps for each patch."""
    tower, number = size.vision, load.compute
    if tower.gated:
        return number * ((13 if number == 4 else 15) * tower.hidden + 4 * tower.intermediate)
    return number * (11 * tower.hidden + (3 if size.kind == "qwen2_vl" else 2) * tower.intermediate)


def _head(size: ModelSize) -> int:
    return 4 * (min(TILE, 4096 * size.vocabulary) + size.vocabulary * size.text.hidden)


def _rollouts(size: ModelSize, load: Load) -> int:
    tokens = load.rollouts * (load.prompt + load.completion)
    cache = tokens * 2 * size.text.layers * size.text.keys * load.compute
    widest = load.rollouts * load.prompt * (2 * size.text.intermediate + 2 * size.text.hidden) * load.compute
    return cache + max(3 * 4 * load.rollouts * size.vocabulary, widest)


def visual_load(size: ModelSize, *, frames: int, pixels: int, images: bool = False) -> tuple[int, int]:
    """Patches and tokens of a video of that many frames of at most `pixels`; 0 pixels: the processors' own limits.

    Those are 768 tokens a frame of a video, 16,384 an image. With `images` each frame is one, after its time.
    """
    side = size.patch * size.merge
    tokens = (pixels // (side * side)) if pixels else (16384 if images else 768)
    steps = frames if images else -(-frames // size.frames)
    return steps * tokens * size.merge**2, steps * (tokens + (MARKS if images else 0))
