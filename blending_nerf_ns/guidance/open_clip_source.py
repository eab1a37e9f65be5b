"""open_clip models by name, tag, hub name or local path, with one clear error for each way this can fail."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import torch

from blending_nerf_ns.compat import import_open_clip, with_batch_encode_plus
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.guidance.open_clip_names import (
    FOLDER_CONFIG,
    HUB_PREFIX,
    LOCAL_PATH,
    OF_TRANSFORMERS,
    TIMM_TOWER,
    at_home,
    check_pretrained,
    known_name,
    named_folder,
    register_folder,
    trained_with_quick_gelu,
    warn_of_activation,
    warn_of_preprocessing,
)
from blending_nerf_ns.guidance.weights import Hub, check_reads_words, hub_or_cache, missing_weights, reachable, summary

NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
"""Of a state dict that OpenAI's archive gives; open_clip 2.32 leaves them out where it reads that itself, and not of a file."""


def load(model: str, pretrained: Optional[str]) -> Tuple[Any, Any]:
    """The open_clip model with its weights, on the CPU in float32, and its tokenizer.

    Raises:
        BlendingNerfError: see `clip.load_clip`.
    """
    settings: Dict[str, Any] = {}
    model, pretrained = at_home(model), at_home(pretrained)
    if folder := named_folder(model, pretrained):
        model, pretrained, settings = register_folder(folder)
    elif model.startswith(HUB_PREFIX):
        pretrained = None  # of a repository its own weights, whatever tag a method has by default
    else:
        model = known_name(model)
        check_pretrained(model, pretrained)
        warn_of_preprocessing(model, pretrained)
        warn_of_activation(model, pretrained)
    with hub_or_cache() as hub:
        if not Path(pretrained or "").is_file():
            _download(model, pretrained, hub)
        tokenizer = _tokenizer(model, hub)
        try:
            network = _create(model, pretrained, settings)
        except Exception as error:  # unpickling, safetensors and load_state_dict each raise their own
            raise _unusable(model, pretrained, error) from error
    return network, tokenizer


def _create(model: str, pretrained: Optional[str], settings: Dict[str, Any]) -> Any:
    """open_clip's model with its weights; without the numbers that lie beside them in OpenAI's own state dicts."""
    open_clip = import_open_clip()
    options = {"force_preprocess_cfg": settings, "force_quick_gelu": trained_with_quick_gelu(model, pretrained)}
    try:
        return open_clip.create_model(model, pretrained=pretrained or None, **options)
    except RuntimeError as error:
        if NO_WEIGHTS[0] not in str(error) or not Path(pretrained or "").is_file():
            raise
    from open_clip.factory import load_state_dict

    warn_of_activation(model, pretrained, "holds OpenAI's numbers beside its weights")
    state: Any = load_state_dict(str(pretrained))
    weights = {name: value for name, value in state.items() if name not in NO_WEIGHTS}
    with tempfile.TemporaryDirectory() as temporary:
        path = f"{temporary}/weights.pt"
        torch.save(weights, path)
        return open_clip.create_model(model, pretrained=path, **options)


def _check_tower_of_hub(model: str, repository: str) -> None:
    """Refuse a repository's model by its small configuration, before its weights are fetched; where it has none, these tell."""
    from open_clip import timm_model
    from open_clip.pretrained import download_pretrained_from_hf

    tower: Any = {}
    with suppress(Exception):  # the hub's clients raise their own, urllib's, OSError ...
        config = json.loads(Path(download_pretrained_from_hf(repository, filename=FOLDER_CONFIG)).read_text("utf8"))
        tower = config["model_cfg"]["vision_cfg"]
    if timm_model.timm is None and "timm_model_name" in tower:
        raise BlendingNerfError(f"the model {model!r} has {TIMM_TOWER}.")


def _download(model: str, pretrained: Optional[str], hub: Hub) -> None:
    """Fetches weights into the cache, before the time for building the model is spent."""
    open_clip = import_open_clip()
    if model.startswith(HUB_PREFIX):
        repository = model[len(HUB_PREFIX) :]
        _check_tower_of_hub(model, repository)
        try:
            open_clip.download_pretrained({"hf_hub": f"{repository}/"})
        except Exception as error:  # the hub's clients raise their own, urllib's, OSError ...
            other = f"{LOCAL_PATH}; a repository has weights for open_clip where it has an {FOLDER_CONFIG}"
            raise missing_weights(f"model {model!r}", hub.places(repository), other, error) from error
        return
    config = open_clip.get_pretrained_cfg(model, pretrained or "")
    what = f"model {model!r} with pretrained={pretrained!r}"
    cached = Path(at_home("~/.cache/clip")) / Path(config.get("url", "")).name
    repository = config.get("hf_hub", "").strip("/")
    places = hub.places(repository) if repository else (str(cached), config.get("url", ""))
    if not repository and not cached.is_file() and not reachable(config.get("url", "")):
        raise missing_weights(what, places, LOCAL_PATH, ConnectionError("no connection"))
    try:
        open_clip.download_pretrained(config)
    except Exception as error:
        raise missing_weights(what, places, LOCAL_PATH, error) from error


def _tokenizer(model: str, hub: Hub) -> Any:
    """The model's tokenizer; most come with open_clip, some have files of their own on the hub."""
    open_clip = import_open_clip()
    try:
        tokenizer = with_batch_encode_plus(open_clip.get_tokenizer(model))
        if hasattr(tokenizer, "tokenizer"):  # of transformers, by files; open_clip's own has its vocabulary with it
            check_reads_words(tokenizer.tokenizer)
        return tokenizer
    except Exception as error:
        text = (open_clip.get_model_config(model) or {}).get("text_cfg", {})
        repository = str(text.get("hf_tokenizer_name", model.removeprefix(HUB_PREFIX)))
        places = hub.places(repository)
        raise missing_weights(f"the tokenizer of {model!r}", places, LOCAL_PATH, error) from error


def _unusable(model: str, pretrained: Optional[str], error: Exception) -> BlendingNerfError:
    """The error for weights that were found and cannot be used."""
    what = f"The weights {pretrained!r} cannot be used for the model {model!r}"
    message = str(error)
    if "TorchScript" in message:
        return BlendingNerfError(
            f"{what}: the file is a TorchScript archive, which is a program and not only weights. Save its state dict "
            "once, torch.save(torch.jit.load(FILE).state_dict(), OTHER), and give that file; if it is OpenAI's, with a model's name "
            'that ends with "-quickgelu".'
        )
    if "timm" in message:  # a repository's, of which nothing is known before
        return BlendingNerfError(f"{what}: it has {TIMM_TOWER}.")
    if "vision_model." in message or "text_model." in message:
        return BlendingNerfError(f"{what}: {OF_TRANSFORMERS}.")
    if "state_dict" in message or isinstance(error, AssertionError):
        return BlendingNerfError(
            f"{what}: they belong to another architecture. Give the open_clip model name that they were trained with. "
            f"{summary(error)}"
        )
    return BlendingNerfError(
        f"{what}: the file cannot be read as plain weights (damaged, incomplete, or with pickled code in it). "
        f"{summary(error)}"
    )
