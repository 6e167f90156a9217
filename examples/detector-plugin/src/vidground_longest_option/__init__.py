"""A third party's detector for VidGround."""
