"""The order in which CLIP's transformer keeps its tokens: [length, batch, width] is faster than open_clip's [batch, length, width].

torch's attention works on [length, batch, width], and turns what comes batch first around without copying. Where only pictures
want gradients and weights do not, its linear layer then multiplies token by token, `bmm`, in place of one large product. With torch
2.15 on a CPU that took a sixth of the time of reading pictures with their gradients; without gradients both orders take the same. tests/test_guidance_layout.py tells when
torch no longer does so.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def keep_length_first(model: Any) -> bool:
    """Let the transformer that reads pictures keep its tokens length first; it reads the same to rounding.

    Args:
        model: of open_clip; one whose pictures are read by something else than open_clip's transformer is left as it is.

    Returns:
        whether it does so now.
    """
    transformer: Any = getattr(getattr(model, "visual", None), "transformer", None)
    blocks = list(getattr(transformer, "resblocks", []))
    if not blocks or not hasattr(transformer, "batch_first"):
        return False
    attentions: list[Any] = [getattr(block, "attn", None) for block in blocks]
    if not all(isinstance(attention, nn.MultiheadAttention) for attention in attentions):
        return False
    transformer.batch_first = False
    for attention in attentions:
        attention.batch_first = False
    return True
