"""What a shell can do with a run: the sub-commands of `blending-nerf`, a file each, and what they share."""
