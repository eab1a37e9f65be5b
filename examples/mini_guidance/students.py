"""Both models in training: they share one vision tower, so every picture teaches it twice."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple

import torch
from torch import Tensor, nn

from blending_nerf_ns.procedural import words

from . import models
from .objectives import heads_sizes

COLOURS, SHAPES = len(words.COLOUR_NAMES), len(words.SHAPE_NAMES)


class Seen(NamedTuple):
    """What the towers make of B pictures."""

    states: List[Tensor]
    """Hidden states [B, 1 + cells, width] after each layer of the shared tower."""
    features: Tensor
    """The mini CLIP's, [B, dim], not normalised."""


class Students(nn.Module):
    """A mini CLIPSeg, the rest of a mini CLIP on top of its vision tower, and questions asked during training only."""

    def __init__(self, size: int = models.IMAGE_SIZE) -> None:
        super().__init__()
        self.clipseg: Any = models.build_clipseg(size)
        self.clip: Any = models.build_clip(size)
        del self.clip.visual.transformer.resblocks[: self.shared_layers]
        del self.clip.visual.conv1
        width, dim, patch = models.WIDTH, models.EMBED_DIM, models.PATCH
        whole, cell, geometry, text = heads_sizes(patch)
        self.whole, self.cells = nn.Linear(dim, whole), nn.Linear(width, cell)
        self.geometry, self.text = nn.Linear(width, geometry), nn.Linear(dim, text)

    @property
    def shared_layers(self) -> int:
        """Layers of the CLIPSeg's tower, with which the CLIP's begins."""
        return len(self.clipseg.clip.vision_model.encoder.layers)

    def look(self, pixels: Tensor) -> Seen:
        """Run the towers on normalised pictures. CLIPSeg's own forward would run its tower without gradient."""
        tower = self.clipseg.clip.vision_model
        x = tower.pre_layrnorm(tower.embeddings(pixels))
        states = []
        for layer in tower.encoder.layers:
            x = layer(x, None)
            x = x[0] if isinstance(x, tuple) else x
            states.append(x)
        visual = self.clip.visual
        for block in visual.transformer.resblocks:
            x = block(x)
        return Seen(states, visual.ln_post(x[:, 0]) @ visual.proj)

    def segment(self, states: List[Tensor], texts: Tensor, queries: int) -> Tensor:
        """Mask logits [B, Q, S, S] for `queries` text features [B * Q, D] of each picture."""
        activations = [states[i].repeat_interleave(queries, 0) for i in self.clipseg.extract_layers]
        return self.clipseg.decoder(activations, texts).logits.unflatten(0, (-1, queries))

    def query(self, texts: List[str]) -> Tensor:
        """The CLIPSeg's text features [T, D]."""
        return self.clipseg.clip.text_projection(self.clipseg.clip.text_model(models.tokenize(texts)).pooler_output)

    def caption(self, texts: List[str]) -> Tensor:
        """The CLIP's text features, not normalised."""
        return read_captions(self.clip, texts)

    def start_from_shipped(self, of_clip: bool) -> None:
        """Go on from the weights in the package, which are float16 and without the questions' answers.

        Args:
            of_clip: take the CLIP's vision tower, not the CLIPSeg's: each has gone its own way since they learned together.
        """
        clipseg, clip = models.load_shipped()
        if of_clip:
            clipseg.update(models.tower_of(clip, self.shared_layers))
        size = models.picture_size(self.clip.visual.positional_embedding)
        for state, name in (
            (clipseg, "clip.vision_model.embeddings.position_embedding.weight"),
            (clip, "visual.positional_embedding"),
        ):
            state[name] = models.resize_positions(state[name], size)
        self.clipseg.load_state_dict(clipseg)
        self.clip.load_state_dict(models.without_tower(clip, self.shared_layers))


def read_captions(clip: Any, texts: List[str]) -> Tensor:
    """A CLIP's text features, not normalised; the padding that open_clip would add changes nothing."""
    tokens = models.tokenize(texts)
    length = tokens.shape[1]
    x = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask[:length, :length]))
    x = x[torch.arange(len(x)), tokens.argmax(-1)]
    return x @ clip.text_projection if isinstance(clip.text_projection, Tensor) else clip.text_projection(x)


def finished(state: Dict[str, Tensor], layers: int) -> tuple[Any, Any]:
    """The two models whole, from the (averaged) state of Students.

    Returns:
        CLIPSeg and CLIP in eval mode.
    """

    def part(name: str) -> Dict[str, Tensor]:
        return {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(name + ".")}

    size = models.picture_size(part("clipseg")["clip.vision_model.embeddings.position_embedding.weight"])
    clipseg, clip = models.build_clipseg(size), models.build_clip(size)
    clipseg.load_state_dict(part("clipseg"))
    clip.load_state_dict(models.with_tower(part("clip"), part("clipseg"), layers))
    return clipseg.eval(), clip.eval()
