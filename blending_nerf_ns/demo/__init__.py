"""From nothing to an edited video: a procedural capture, the real ns-train and ns-render commands, measured results.

Run as `python -m blending_nerf_ns.demo`, or `make demo`.
"""
