"""Detectors of text-only answerable questions."""
