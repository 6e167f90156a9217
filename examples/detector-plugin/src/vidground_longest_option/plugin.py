"""What VidGround finds by the entry point."""

from vidground_core import hookimpl
from vidground_longest_option.detector import LongestOption

VIDGROUND_API = ">=1,<2"


@hookimpl
def vidground_register_detectors() -> list[type[LongestOption]]:
    """The one detector of this package."""
    return [LongestOption]
