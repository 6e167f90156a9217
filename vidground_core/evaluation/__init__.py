"""Prompts, answers and statistics."""
