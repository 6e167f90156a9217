"""Engines answer asks."""
