"""The sub-commands of `blending-nerf`, a file each."""
