"""Model names that resolve without a hub."""
