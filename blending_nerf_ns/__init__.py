"""Blending-NeRF for nerfstudio: change one thing in a captured scene by naming it, and leave the rest alone."""
