"""Text towers of the hub, built very small by the real open_clip and transformers: how long a text they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from blending_nerf_ns.compat import import_open_clip, with_batch_encode_plus
from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning
from blending_nerf_ns.guidance.clip import load_clip

MARKS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
WORDS = "a photo of red ball close-up cropped bright rendering 3D render blue the".split()


def write_tower(kind: str, folder: Path) -> Any:
    """The configuration of a text tower and its tokenizer, as the hub has them."""
    from transformers import MT5Config, PreTrainedTokenizerFast, XLMRobertaConfig

    vocabulary = MARKS | {word: len(MARKS) + i for i, word in enumerate(WORDS)}
    tokenizer: Any = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    marks: Any = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    if kind == "mt5":
        config: Any = MT5Config(vocab_size=32, d_model=32, d_kv=16, d_ff=32, num_layers=2, num_heads=2, pad_token_id=1)
    else:
        sizes: Any = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        config = XLMRobertaConfig(vocab_size=32, max_position_embeddings=514, pad_token_id=1, **sizes)
    config.save_pretrained(folder)


def add_model(kind: str, folder: Path) -> Any:
    """A model of open_clip over such a tower, whose weights lie in the folder."""
    open_clip = import_open_clip()
    write_tower(kind, folder)
    text = {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder)}
    text |= {"hf_proj_type": "mlp", "hf_pooler_type": "mean_pooler"}
    vision = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16}
    (folder / f"tiny-{kind}.json").write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(folder / f"tiny-{kind}.json")
    model: Any = open_clip.create_model(f"tiny-{kind}", pretrained_hf=False)
    torch.save(model.state_dict(), folder / "weights.pt")
    return model


@pytest.mark.parametrize("kind", ["xlm-roberta", "mt5"])
def test_a_text_tower_of_the_hub_reads_as_many_tokens_as_its_tokenizer_gives(kind: str, tmp_path: Path) -> None:
    """One says that it has 514 positions, the other 0; both were trained on 77."""
    open_clip, model = import_open_clip(), add_model(kind, tmp_path)
    guide = load_clip(f"tiny-{kind}", str(tmp_path / "weights.pt"))
    assert guide.context_length == 77
    tokens = with_batch_encode_plus(open_clip.get_tokenizer(f"tiny-{kind}"))(["a red ball"])
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.eval().encode_text(tokens), dim=-1)
    assert torch.allclose(guide.encode_text(["a red ball"]), expected, atol=1e-6)
    with pytest.warns(GuidanceWarning, match="longer than the 77 tokens"):
        guide.encode_prompt("a red ball " * 300)


@pytest.mark.parametrize("kind", ["xlm-roberta", "mt5"])
def test_a_text_tower_whose_vocabulary_is_not_there_is_refused(kind: str, tmp_path: Path) -> None:
    """transformers makes a tokenizer of it all the same, by the tower's configuration."""
    add_model(kind, tmp_path)
    for file in tmp_path.glob("*token*"):
        file.unlink()
    with pytest.raises(BlendingNerfError, match="its tokenizer has no vocabulary") as caught:
        load_clip(f"tiny-{kind}", str(tmp_path / "weights.pt"))
    assert str(tmp_path) in str(caught.value)
