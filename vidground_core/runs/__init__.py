"""Run directories, the reply store and the runner."""
