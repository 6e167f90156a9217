"""Writing small H.264 files: for generated data sets and tests."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_video(
    path: str | Path, frames: NDArray[np.uint8], *, fps: float, codec: str = "libx264", options: Mapping[str, str] | None = None
) -> None:
    """Writes uint8 (T, H, W, 3) RGB frames as one video stream at a constant `fps`.

    `options` go to the encoder (such as {"crf": "10", "g": "12"}). One thread, so that the same frames give the same bytes.
    """
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=dict(options or {}))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
