"""The executor `ray`: any engine on the workers of a Ray cluster."""
