"""What a shell can do with a run: the sub-commands of `blending-nerf`, a file each; `like` gives `region` its defaults."""
