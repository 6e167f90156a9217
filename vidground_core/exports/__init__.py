"""The exporter interface."""
