"""Contract suites and fakes for those who write plugins."""
