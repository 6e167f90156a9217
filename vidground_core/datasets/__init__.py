"""Loaders of video-QA data sets."""
