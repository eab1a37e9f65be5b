"""A run on disk: its configuration, its checkpoints, what it takes over from others, how it is looked at."""
