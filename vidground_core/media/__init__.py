"""Frames of videos and images: sampling, views, a bounded cache."""
