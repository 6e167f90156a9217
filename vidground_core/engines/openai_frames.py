"""A clip's frames as images in a request: decoded, encoded and kept, so that a clip that is shown often is encoded once."""

from __future__ import annotations

import base64
import io
import threading
from collections import OrderedDict
from concurrent.futures import Future

from vidground_core.engines.openai_config import OpenAIConfig
from vidground_core.records import Clip

_KEPT_BYTES = 256 * 2**20


def encode_clip(clip: Clip, config: OpenAIConfig) -> tuple[str, ...]:
    """The frames of a clip as data URLs, in the order of its view. Raises MediaError where the file does not decode."""
    from PIL import Image

    from vidground_core.media import load_clip

    options = {"quality": config.image_quality} if config.image_format == "jpeg" else {}
    urls = []
    for frame in load_clip(clip).array:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, config.image_format, **options)
        urls.append(f"data:image/{config.image_format};base64,{base64.b64encode(buffer.getvalue()).decode()}")
    return tuple(urls)


class EncodedClips:
    """Encoded clips, those used last, up to `most_bytes`; for threads. A clip that several ask for at once is encoded once."""

    def __init__(self, config: OpenAIConfig, most_bytes: int = _KEPT_BYTES) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self._config = config
        self._kept: OrderedDict[Clip, Future[tuple[str, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, clip: Clip) -> tuple[str, ...]:
        """The clip's data URLs. Raises MediaError, each time anew, where the file does not decode."""
        from vidground_core.media import resolve

        clip = resolve(clip)  # by its content: two files at one place are two clips
        with self._lock:
            found = self._kept.get(clip)
            if found is None:
                mine = self._kept[clip] = Future()
            else:
                self._kept.move_to_end(clip)
        if found is not None:
            return found.result()
        try:
            urls = encode_clip(clip, self._config)
        except BaseException as error:
            with self._lock:
                self._kept.pop(clip, None)
            mine.set_exception(error)
            raise
        mine.set_result(urls)
        self._count(clip, sum(map(len, urls)))
        return urls

    def _count(self, clip: Clip, size: int) -> None:
        with self._lock:
            self.bytes += size
            done = [other for other, future in self._kept.items() if other != clip and future.done()]
            for other in done:
                if self.bytes <= self.most_bytes:
                    return
                self.bytes -= sum(map(len, self._kept.pop(other).result()))
            if self.bytes > self.most_bytes:
                del self._kept[clip]
                self.bytes -= size
