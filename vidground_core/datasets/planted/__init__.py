"""The `planted` data set: a procedural video world whose questions carry a known TA or VG label."""
