"""Fails where tests of a back-end were skipped for what its environment should have: `check_skips.py REPORT` (pytest's --junitxml)."""

import sys
from xml.etree import ElementTree


def main() -> None:
    """Every test, a module as a whole (pytest.importorskip at its top), or a test for what cannot be imported."""
    cases = list(ElementTree.parse(sys.argv[1]).getroot().iter("testcase"))  # noqa: S314 - pytest wrote it
    skipped = [(case, skip) for case in cases for skip in case.iter("skipped")]
    if len(skipped) == len(cases):
        sys.exit("every test was skipped")
    lacking = [
        f"{case.get('classname')} {case.get('name')}: {skip.text or skip.get('message')}".strip()
        for case, skip in skipped
        if skip.get("message") == "collection skipped" or "could not import" in skip.get("message", "")
    ]
    if lacking:
        sys.exit("\n".join(["skipped for what this environment should have:", *lacking]))


main()
