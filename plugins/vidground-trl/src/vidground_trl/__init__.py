"""GRPO on native video tokens, by TRL. Nothing here imports torch before training starts, in a process of its own."""
