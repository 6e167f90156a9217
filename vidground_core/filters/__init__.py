"""Filter policies."""
