"""Compositions of steps: vg run, vg audit, vg eval."""
