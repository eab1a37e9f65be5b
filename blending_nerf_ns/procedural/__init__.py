"""Procedural scenes, pictures and captions: the data the embedded mini CLIP and mini CLIPSeg are trained on.

numpy and torch only, but for `base`, which stands as an edit's base in tests and examples. `render.render` draws any scene from any camera; `sampling` makes random scenes; `captions` says
what is true of them.
"""
