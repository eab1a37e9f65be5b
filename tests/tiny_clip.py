"""A very small open_clip model with random weights, in every form that one can have on a disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import torch
from safetensors.torch import save_file

TINY: Dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.3, 0.3], "interpolation": "bicubic", "resize_mode": "shortest"}


def write_tiny_clip(folder: Path) -> Path:
    """Its folder; its architecture is known to open_clip as "tiny" from here on."""
    import open_clip

    (folder / "tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "tiny.json")
    torch.manual_seed(0)
    state = open_clip.create_model("tiny").state_dict()
    save_file(state, folder / "open_clip_model.safetensors")
    save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, folder / "half.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, folder / "trained.pt")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": PREPROCESS}))
    return folder
