"""The trainer interface."""
