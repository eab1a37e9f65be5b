"""Tiny models shipped with the package, so that everything runs offline: a mini CLIP and a mini CLIPSeg, and a second mini CLIP
that judges what the first one guided.

They know the few words of `procedural.words` and were trained on procedural pictures only; see MODEL_CARD.md. They load
through the same doors as the real models: open_clip and transformers.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, List

from blending_nerf_ns.errors import BlendingNerfError

if TYPE_CHECKING:
    import open_clip
    from torch import LongTensor

EMBEDDED = "embedded"
"""By this name users ask for the small models that guide and localise."""
EMBEDDED_JUDGE = "embedded-judge"
"""And for the one that judges what they made: of another architecture, from other random weights."""
EMBEDDED_DIR: Path = Path(__file__).parent
MINI_CLIP_NAME = "mini_clip"
MINI_JUDGE_NAME = "mini_judge"


def load_mini(name: str) -> "open_clip.CLIP":
    """An open_clip model of this folder (float32), frozen and in eval mode.

    Args:
        name: `MINI_CLIP_NAME`, which guides, or `MINI_JUDGE_NAME`, which judges. Both read the same words and take images
            of [B, 3, 96, 96], normalised with OpenAI CLIP's mean and std.

    Example:
        >>> model = load_mini(MINI_CLIP_NAME)
        >>> tokens = mini_tokenizer(model.context_length)(["a red ball"])
        >>> text_features = model.encode_text(tokens, normalize=True)
    """
    from blending_nerf_ns.compat import import_open_clip

    open_clip = import_open_clip()
    open_clip.add_model_config(EMBEDDED_DIR / f"{name}.json")
    model: Any = open_clip.create_model(name, pretrained=str(EMBEDDED_DIR / f"{name}.safetensors"), precision="fp32")
    return model.float().eval().requires_grad_(False)


def mini_tokenizer(context_length: int) -> Callable[[List[str]], "LongTensor"]:
    """The word-level tokenizer that both mini models share: a function from texts to ids [B, context_length]."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(mini_clipseg_path())

    def tokenize(texts: List[str]) -> "LongTensor":
        texts = [texts] if isinstance(texts, str) else list(texts)
        batch = tokenizer(texts, padding="max_length", truncation=True, max_length=context_length, return_tensors="pt")
        return batch.input_ids

    return tokenize


def mini_clipseg_path() -> Path:
    """Folder of the mini CLIPSeg, for `from_pretrained` of CLIPSegForImageSegmentation and of AutoProcessor."""
    return EMBEDDED_DIR / "mini_clipseg"


def unknown_words(text: str) -> List[str]:
    """Words of the text that the mini models do not know, in order, each once.

    Example:
        >>> unknown_words("a red fox on the floor")
        ['fox']
    """
    from blending_nerf_ns.procedural.words import VOCABULARY, split_words

    return list(dict.fromkeys(word for word in split_words(text) if word not in VOCABULARY))


def meant_words(text: str) -> str:
    """The unknown words of a text, each with the known word that may have been meant, for messages.

    Example:
        >>> meant_words("a purpel fox")
        "'purpel' (purple?), 'fox'"
    """
    from blending_nerf_ns.procedural.words import VOCABULARY

    close = {word: get_close_matches(word, VOCABULARY, n=1, cutoff=0.75) for word in unknown_words(text)}
    return ", ".join(f"{word!r} ({found[0]}?)" if found else repr(word) for word, found in close.items())


def says_something(text: str) -> bool:
    """Whether the mini models read more of a text than "a" and "the"; of an empty one there is nothing that they miss.

    Example:
        >>> says_something("a purple fox"), says_something("a fox")
        (True, False)
    """
    from blending_nerf_ns.procedural.words import JOINING, split_words

    unknown = unknown_words(text)
    return not unknown or not set(split_words(text)) <= {*unknown, *JOINING}


def check_says_something(text: str) -> None:
    """Refuse a text of which the mini models would read nothing.

    Raises:
        BlendingNerfError: with its words, and those that may have been meant.
    """
    if not says_something(text):
        raise BlendingNerfError(
            f"the embedded models know no word of {text!r}: {meant_words(text)}. Use words of their model card "
            '("a purple toy", "a red ball"), or real models, which blending-nerf and blending-nerf-small take'
        )
