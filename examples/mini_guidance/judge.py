"""The mini CLIP that judges: nothing of it, neither sizes nor weights nor seed, is the guide's."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Dict, List

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from blending_nerf_ns.guidance.embedded import EMBEDDED_DIR, MINI_JUDGE_NAME
from blending_nerf_ns.procedural.words import VOCABULARY

from .models import CONTEXT, sine_positions
from .objectives import heads_sizes
from .students import Seen, read_captions

IMAGE_SIZE, PATCH, WIDTH, LAYERS, EMBED_DIM = 96, 12, 224, 6, 192
"""Fewer and larger patches than the guide's, a deeper and wider tower, a smaller feature."""


def judge_config() -> Dict:
    """open_clip's description of the mini judge."""
    return {
        "embed_dim": EMBED_DIM,
        "vision_cfg": {
            "image_size": IMAGE_SIZE, "layers": LAYERS, "width": WIDTH, "head_width": 32, "patch_size": PATCH,
            "mlp_ratio": 3.0,
        },
        "text_cfg": {"context_length": CONTEXT, "vocab_size": len(VOCABULARY), "width": 160, "heads": 5, "layers": 3},
    }  # fmt: skip


def build_judge() -> Any:
    """A fresh judge, made by open_clip from its description."""
    import open_clip

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{MINI_JUDGE_NAME}.json"
        path.write_text(json.dumps(judge_config()))
        open_clip.add_model_config(path)
        model: Any = open_clip.create_model(MINI_JUDGE_NAME)
    with torch.no_grad():  # sines tell the tokens where they are from the first step on
        model.visual.positional_embedding[1:] = 0.3 * sine_positions(IMAGE_SIZE // PATCH, WIDTH)
        model.visual.conv1.weight.normal_(std=(3 * PATCH * PATCH) ** -0.5)
    return model


class JudgeStudent(nn.Module):
    """A judge in training, with questions that are asked during training only."""

    def __init__(self) -> None:
        super().__init__()
        self.clip: Any = build_judge()
        whole, cell, geometry, text = heads_sizes(PATCH)
        self.whole, self.text = nn.Linear(EMBED_DIM, whole), nn.Linear(EMBED_DIM, text)
        self.cells, self.geometry = nn.Linear(WIDTH, cell), nn.Linear(WIDTH, geometry)

    def look_in_bfloat16(self, pixels: Tensor) -> Seen:
        """As `look`, multiplied in bfloat16: 1.6 times as fast where the processor can (AMX); what comes out is float32."""
        # the fused attention's backward is slower in bfloat16 than in float32: 270 ms a step against 50
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", dtype=torch.bfloat16):
            seen = self.look(pixels)
        return Seen([state.float() for state in seen.states], seen.features.float())

    def look(self, pixels: Tensor) -> Seen:
        """Run the tower on normalised pictures; the states are those before its last layer."""
        visual = self.clip.visual
        cells = visual.conv1(pixels).flatten(2).transpose(1, 2)
        first = visual.class_embedding.expand(len(cells), 1, -1)
        x = visual.ln_pre(torch.cat([first, cells], dim=1) + visual.positional_embedding)
        states: List[Tensor] = []
        for block in visual.transformer.resblocks:
            states.append(x)
            x = block(x)
        return Seen(states[1:], visual.ln_post(x[:, 0]) @ visual.proj)

    def caption(self, texts: List[str]) -> Tensor:
        """The text features, not normalised."""
        return read_captions(self.clip, texts)


def shipped_state() -> Dict[str, Tensor]:
    """The weights in the package as float32, to go on from; they are without the questions' answers."""
    state = load_file(EMBEDDED_DIR / f"{MINI_JUDGE_NAME}.safetensors")
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def finished_judge(state: Dict[str, Tensor]) -> Any:
    """The judge in eval mode, from the (averaged) state of a JudgeStudent."""
    judge = build_judge()
    judge.load_state_dict({key[5:]: value for key, value in state.items() if key.startswith("clip.")})
    return judge.eval()


def export_judge(judge: Any, folder: Path = EMBEDDED_DIR) -> None:
    """Write mini_judge.json and mini_judge.safetensors (float16)."""
    (folder / f"{MINI_JUDGE_NAME}.json").write_text(json.dumps(judge_config(), indent=2) + "\n")
    half = {k: v.half().contiguous() if v.is_floating_point() else v.clone() for k, v in judge.state_dict().items()}
    path = folder / f"{MINI_JUDGE_NAME}.safetensors"
    save_file(half, path)
    path.chmod(0o644)  # safetensors writes files that only their owner may read
