"""Procedural scenes, pictures and captions: the data the embedded mini CLIP and mini CLIPSeg are trained on.

numpy and torch only. `render.render` draws any scene from any camera; `sampling` makes random scenes; `captions` says
what is true of them.
"""
