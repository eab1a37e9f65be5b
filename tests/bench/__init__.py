"""What the package's speed and memory are, as ratios: `make bench` (see `__main__`)."""
