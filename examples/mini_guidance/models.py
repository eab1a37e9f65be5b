"""The two architectures, their tokenizer, and the files they are shipped as."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from blending_nerf_ns.guidance.embedded import EMBEDDED_DIR, MINI_CLIP_NAME
from blending_nerf_ns.procedural.words import END, PAD, START, UNKNOWN, VOCABULARY, split_words

IMAGE_SIZE, CLIP_IMAGE_SIZE, CONTEXT = 64, 96, 24
"""Pictures are 64 pixels wide where both models learn at once; the CLIP goes on alone at 96, for the sake of small things."""
PATCH, WIDTH, LAYERS, EMBED_DIM = 8, 192, 4, 256
"""Of the vision towers; the CLIP's has one layer more."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""OpenAI CLIP's, which open_clip assumes unless told otherwise."""

_IDS = {word: i for i, word in enumerate(VOCABULARY)}


def tokenize(texts: List[str], length: int = 0) -> Tensor:
    """Token ids [B, length], padded to the longest text if no length is given. Equals the exported tokenizer."""
    rows = [[_IDS[START], *(_IDS.get(w, _IDS[UNKNOWN]) for w in split_words(t)), _IDS[END]] for t in texts]
    length = length or max(map(len, rows))
    out = torch.full((len(rows), length), _IDS[PAD])
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.tensor(row[: length - 1] + [_IDS[END]] if len(row) > length else row)
    return out


def normalize(images: Tensor) -> Tensor:
    """RGB in [0, 1] to what both models expect, [B, 3, H, W]."""
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def clip_config(size: int = IMAGE_SIZE) -> Dict:
    """open_clip's description of the mini CLIP for pictures of `size` pixels.

    Its vision tower is the mini CLIPSeg's plus one layer, so that they can be trained as one: a tower that is told where
    things are learns what they are called many times faster than one that only ever meets captions.
    """
    return {
        "embed_dim": EMBED_DIM,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": size, "layers": LAYERS + 1, "width": WIDTH, "head_width": 48, "patch_size": PATCH,
            "mlp_ratio": 2.0,
        },
        "text_cfg": {"context_length": CONTEXT, "vocab_size": len(VOCABULARY), "width": 128, "heads": 4, "layers": 2},
    }  # fmt: skip


_VISION = "clip.vision_model."
_BLOCK = "visual.transformer.resblocks."
_NAMES = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}  # fmt: skip
"""A layer's parts in transformers' and in open_clip's words."""


def without_tower(clip: Dict[str, Tensor], layers: int) -> Dict[str, Tensor]:
    """A mini CLIP's state without the `layers` first layers of its vision tower; the others are counted from 0."""
    out = {}
    for key, value in clip.items():
        if key.startswith(_BLOCK):
            number, _, rest = key[len(_BLOCK) :].partition(".")
            if int(number) < layers:
                continue
            key = f"{_BLOCK}{int(number) - layers}.{rest}"
        if key != "visual.conv1.weight":
            out[key] = value
    return out


def with_tower(clip: Dict[str, Tensor], clipseg: Dict[str, Tensor], layers: int) -> Dict[str, Tensor]:
    """A whole mini CLIP's state: the first `layers` layers of its vision tower are a mini CLIPSeg's."""
    out = dict(clip)
    for key in [key for key in clip if key.startswith(_BLOCK)]:
        number, _, rest = key[len(_BLOCK) :].partition(".")
        out[f"{_BLOCK}{int(number) + layers}.{rest}"] = clip[key]
    tower = {key[len(_VISION) :]: value for key, value in clipseg.items() if key.startswith(_VISION)}
    out.update({ours: torch.cat([tower[name] for name in theirs]) for ours, theirs in _same_tensors(layers).items()})
    return out


def tower_of(clip: Dict[str, Tensor], layers: int) -> Dict[str, Tensor]:
    """The `layers` first layers of a mini CLIP's vision tower in transformers' names; the inverse of `with_tower`."""
    out = {}
    for ours, theirs in _same_tensors(layers).items():
        out.update({_VISION + name: part for name, part in zip(theirs, clip[ours].chunk(len(theirs)))})
    return out


def _same_tensors(layers: int) -> Dict[str, Tuple[str, ...]]:
    """The tower's tensors in open_clip's words, and in transformers': where these are several, they are joined to one."""
    same: Dict[str, Tuple[str, ...]] = {
        "visual.class_embedding": ("embeddings.class_embedding",),
        "visual.positional_embedding": ("embeddings.position_embedding.weight",),
        "visual.conv1.weight": ("embeddings.patch_embedding.weight",),
    }
    for kind in ("weight", "bias"):
        same[f"visual.ln_pre.{kind}"] = (f"pre_layrnorm.{kind}",)
        for layer in range(layers):
            theirs = f"encoder.layers.{layer}."
            for name, new in _NAMES.items():
                same[f"{_BLOCK}{layer}.{new}.{kind}"] = (f"{theirs}{name}.{kind}",)
            same[f"{_BLOCK}{layer}.attn.in_proj_{kind}"] = tuple(f"{theirs}self_attn.{n}_proj.{kind}" for n in "qkv")
    return same


def picture_size(positions: Tensor) -> int:
    """Width in pixels of the pictures that position codes [1 + cells, width] are for."""
    return round((len(positions) - 1) ** 0.5) * PATCH


def resize_positions(positions: Tensor, size: int) -> Tensor:
    """Position codes for pictures of `size` pixels [1 + cells, width], interpolated from those for another size."""
    side, new = picture_size(positions) // PATCH, size // PATCH
    if side == new:
        return positions
    grid = positions[1:].T.reshape(1, -1, side, side)
    grid = F.interpolate(grid, (new, new), mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], grid.flatten(2)[0].T])


def load_shipped() -> Tuple[Dict[str, Tensor], Dict[str, Tensor]]:
    """States of the CLIPSeg and the CLIP in the package, in float32."""
    clipseg = load_file(EMBEDDED_DIR / "mini_clipseg" / "model.safetensors")
    clip = load_file(EMBEDDED_DIR / f"{MINI_CLIP_NAME}.safetensors")
    return tuple({k: v.float() if v.is_floating_point() else v for k, v in s.items()} for s in (clipseg, clip))  # type: ignore[return-value]


def write_clip_config(size: int, folder: Path = EMBEDDED_DIR) -> Path:
    """Write mini_clip.json and return its path."""
    path = folder / f"{MINI_CLIP_NAME}.json"
    path.write_text(json.dumps(clip_config(size), indent=2) + "\n")
    return path


def build_clip(size: int = IMAGE_SIZE):
    """A fresh mini CLIP for pictures of `size` pixels, made by open_clip from its description."""
    import open_clip

    with tempfile.TemporaryDirectory() as folder:
        open_clip.add_model_config(write_clip_config(size, Path(folder)))
        return open_clip.create_model(MINI_CLIP_NAME)


def build_clipseg(size: int = IMAGE_SIZE, patch: int = PATCH, width: int = WIDTH, layers: int = LAYERS):
    """A fresh mini CLIPSeg: transformers' own classes at a small size."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    config = CLIPSegConfig(
        text_config={
            "vocab_size": len(VOCABULARY), "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2,
            "num_attention_heads": 4, "max_position_embeddings": CONTEXT, "pad_token_id": _IDS[PAD],
            "bos_token_id": _IDS[START], "eos_token_id": _IDS[END],
        },
        vision_config={
            "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers,
            "num_attention_heads": 4, "image_size": size, "patch_size": patch,
        },
        projection_dim=96, extract_layers=[layers // 2 - 1, layers - 1], reduce_dim=96, decoder_num_attention_heads=4,
        decoder_intermediate_size=192,
    )  # fmt: skip
    model = CLIPSegForImageSegmentation(config)
    embeddings = model.clip.vision_model.embeddings
    with torch.no_grad():  # sines tell the tokens where they are from the first step on
        embeddings.position_embedding.weight[1:] = 0.3 * sine_positions(size // patch, width)
        embeddings.patch_embedding.weight.normal_(std=(3 * patch * patch) ** -0.5)
    return model


def sine_positions(side: int, width: int) -> Tensor:
    """2D sine-cosine position codes [side * side, width]."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    quarter = width // 4
    frequency = 1.0 / 100 ** (torch.arange(quarter) / quarter)
    codes = [f(axis.reshape(-1, 1) * frequency) for axis in (x, y) for f in (torch.sin, torch.cos)]
    return torch.cat(codes, 1)


def build_tokenizer():
    """The word-level tokenizer of both models, as a transformers tokenizer."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(WordLevel(dict(_IDS), unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(r"[^\p{L}\p{N}]+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, _IDS[START]), (END, _IDS[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, bos_token=START, eos_token=END,
        model_max_length=CONTEXT, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def export_clip(state: Dict[str, Tensor], folder: Path = EMBEDDED_DIR) -> None:
    """Write mini_clip.json and mini_clip.safetensors (float16)."""
    write_clip_config(picture_size(state["visual.positional_embedding"]), folder)
    half = {k: v.detach().half().contiguous() if v.is_floating_point() else v.clone() for k, v in state.items()}
    save_file(half, folder / f"{MINI_CLIP_NAME}.safetensors")
    _readable(folder)


def export_clipseg(model, folder: Path = EMBEDDED_DIR / "mini_clipseg") -> None:
    """Write the folder that transformers loads a CLIPSeg and its processor from (float16 weights)."""
    import copy

    from transformers import CLIPSegProcessor, ViTImageProcessor

    folder.mkdir(parents=True, exist_ok=True)
    copy.deepcopy(model).half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float32"  # stored in half, but meant to be used in full precision
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    images = ViTImageProcessor(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, image_mean=list(MEAN), image_std=list(STD), do_resize=True,
        do_normalize=True, do_rescale=True,
    )  # fmt: skip
    CLIPSegProcessor(image_processor=images, tokenizer=build_tokenizer()).save_pretrained(folder)
    images.save_pretrained(folder)
    _readable(folder)


def _readable(folder: Path) -> None:
    # safetensors writes files that only their owner may read
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)
