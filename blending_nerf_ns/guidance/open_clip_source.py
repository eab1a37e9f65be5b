"""open_clip models by name, tag, hub name or local path, with one clear error for each way this can fail."""

from __future__ import annotations

import difflib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from blending_nerf_ns.compat import import_open_clip, with_batch_encode_plus
from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning
from blending_nerf_ns.guidance.weights import Hub, check_reads_words, hub_or_cache, missing_weights, reachable, summary

HUB_PREFIX = "hf-hub:"
FOLDER_CONFIG = "open_clip_config.json"
FOLDER_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TIMM_TOWER = "a vision tower of timm, which wants timm >= 1, and nerfstudio 1.1.5 pins timm 0.6.7"
LOCAL_PATH = (
    "give the path of a local file as pretrained (--pipeline.guidance.pretrained, --guide-pretrained, --judge.pretrained; "
    ".safetensors, .pt or .bin, for this model)"
)


def load(model: str, pretrained: Optional[str]) -> Tuple[Any, Any]:
    """The open_clip model with its weights, on the CPU in float32, and its tokenizer.

    Raises:
        BlendingNerfError: see `clip.load_clip`.
    """
    open_clip = import_open_clip()
    settings: Dict[str, Any] = {}
    model, pretrained = _at_home(model), _at_home(pretrained)
    if folder := named_folder(model, pretrained):
        model, pretrained, settings = _register_folder(folder)
    elif model.startswith(HUB_PREFIX):
        pretrained = None  # of a repository its own weights, whatever tag a method has by default
    else:
        model = _known_name(model)
        _check_pretrained(model, pretrained)
        _warn_of_preprocessing(model, pretrained)
    with hub_or_cache() as hub:
        if not Path(pretrained or "").is_file():
            _download(model, pretrained, hub)
        tokenizer = _tokenizer(model, hub)
        try:
            network = open_clip.create_model(
                model,
                pretrained=pretrained or None,
                force_preprocess_cfg=settings,
                force_quick_gelu=_trained_with_quick_gelu(model, pretrained),
            )
        except Exception as error:  # unpickling, safetensors and load_state_dict each raise their own
            raise _unusable(model, pretrained, error) from error
    return network, tokenizer


def check_names(model: str, pretrained: Optional[str]) -> None:
    """See `clip.check_names`."""
    model, pretrained = _at_home(model), _at_home(pretrained)
    if folder := named_folder(model, pretrained):
        _register_folder(folder)
    elif not model.startswith(HUB_PREFIX):
        _check_pretrained(_known_name(model), pretrained)


def said(model: str, pretrained: Optional[str]) -> str:
    """Model and weights as reports name them: a folder and a repository bring their own weights, whatever tag stands beside them."""
    if folder := named_folder(model, pretrained):
        return str(folder)
    return model if not pretrained or model.startswith(HUB_PREFIX) else f"{model} ({pretrained})"


def _trained_with_quick_gelu(model: str, pretrained: Optional[str]) -> bool:
    """Whether a tag's weights, OpenAI's among them, want the activation of the name with "-quickgelu", which open_clip 2.32 takes by that
    name alone and else only warns of. Of a file nobody knows."""
    known = import_open_clip().get_pretrained_cfg(model, pretrained) if pretrained else None
    return bool((known or {}).get("quick_gelu"))


def _at_home(name: Any) -> Any:
    """A name or path, without the "~" that a shell leaves behind a "="."""
    return os.path.expanduser(name) if name else name


def named_folder(model: str, pretrained: Optional[str] = None) -> Optional[Path]:
    """The local open_clip folder that one of the two names, if any: it is loaded whatever the other says, and the weights' name is looked
    at first."""
    for place in filter(None, (_at_home(pretrained), _at_home(model))):
        if (Path(place) / FOLDER_CONFIG).is_file():
            return Path(place)
    return None


def hub_repository(model: str, pretrained: Optional[str]) -> Optional[str]:
    """The hub's repository that is loaded from, where a name or a tag says one; None of a tag that stands for one file of several."""
    if model.startswith(HUB_PREFIX):
        return model[len(HUB_PREFIX) :].strip("/")
    known = import_open_clip().get_pretrained_cfg(model.replace("/", "-"), pretrained) if pretrained else None
    said = (known or {}).get("hf_hub", "")
    return said.strip("/") if said.endswith("/") else None


def _register_folder(folder: Path) -> Tuple[str, str, Dict[str, Any]]:
    """Makes a folder's architecture known to open_clip: its name there, its weights file, its preprocessing."""
    open_clip = import_open_clip()
    weights = next((folder / name for name in FOLDER_WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise BlendingNerfError(f"the folder {folder} has a {FOLDER_CONFIG} but no {' or '.join(FOLDER_WEIGHTS)}")
    try:
        config = json.loads((folder / FOLDER_CONFIG).read_text(encoding="utf-8"))
        architecture = config["model_cfg"]
    except (ValueError, KeyError, TypeError) as error:
        raise BlendingNerfError(f"{folder / FOLDER_CONFIG} is not an open_clip config: {summary(error)}") from error
    name = f"folder--{folder.resolve().name}"
    with tempfile.TemporaryDirectory() as temporary:  # open_clip reads it once and keeps it
        path = Path(temporary) / f"{name}.json"
        path.write_text(json.dumps(architecture), encoding="utf-8")
        open_clip.add_model_config(path)
    if open_clip.get_model_config(name) is None:
        raise BlendingNerfError(f"{folder / FOLDER_CONFIG} lacks embed_dim, vision_cfg or text_cfg in its model_cfg")
    _check_tower(name, str(folder))
    return name, str(weights), dict(config.get("preprocess_cfg", {}))


def _known_name(model: str) -> str:
    """open_clip's spelling of a model name."""
    open_clip = import_open_clip()
    name, known = model.replace("/", "-"), open_clip.list_models()
    if name in known:
        _check_tower(name, model)
        return name
    by_lower = {k.lower(): k for k in known if not _wants_timm(k)}
    near = [by_lower[k] for k in difflib.get_close_matches(name.lower(), list(by_lower), n=5, cutoff=0.4)]
    hint = f"Close names: {', '.join(near)}. " if near else ""
    raise BlendingNerfError(
        f"open_clip has no model {model!r}. {hint}Give one of open_clip.list_models(), {HUB_PREFIX}owner/name, a folder with "
        f"an {FOLDER_CONFIG}, or 'embedded'."
    )


def _wants_timm(name: str) -> bool:
    """Whether a model that open_clip knows has a vision tower of timm, and the timm that is installed is too old for open_clip."""
    from open_clip import timm_model

    return timm_model.timm is None and "timm_model_name" in import_open_clip().get_model_config(name)["vision_cfg"]


def _check_tower(name: str, said: str) -> None:
    """Refuses what can never be built here."""
    if _wants_timm(name):
        raise BlendingNerfError(
            f"the model {said!r} has {TIMM_TOWER}: choose one with a tower of open_clip's own, such as ViT-B-16, ViT-L-14 or xlm-roberta-base-ViT-B-32."
        )


def _warn_of_preprocessing(model: str, pretrained: Optional[str]) -> None:
    """Of a file nobody knows how its pictures were prepared: open_clip does it as OpenAI did, and some tags want it otherwise."""
    open_clip = import_open_clip()
    if not os.path.isfile(pretrained or "") or open_clip.is_pretrained_cfg(model, pretrained):
        return
    usual = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD, "resize_mode": "shortest"}
    others = []
    for tag in open_clip.list_pretrained_tags_by_model(model):
        config = open_clip.get_pretrained_cfg(model, tag)
        if any(name in config and config[name] not in (None, value, list(value)) for name, value in usual.items()):
            others.append(tag)
    if others:
        warnings.warn(
            f"The file {pretrained} does not say how its pictures are prepared, so they are as OpenAI's; the weights of the tags "
            f"{', '.join(others)} of {model} want them otherwise. If they are these, give a folder with an {FOLDER_CONFIG}, whose "
            "preprocess_cfg says so.",
            GuidanceWarning,
            stacklevel=2,
        )


def _check_pretrained(model: str, pretrained: Optional[str]) -> None:
    """Refuses what is neither an existing file nor a tag of the model."""
    open_clip = import_open_clip()
    tags = open_clip.list_pretrained_tags_by_model(model)
    known = f"Tags of {model}: {', '.join(tags) if tags else 'none'}."
    if not pretrained:
        raise BlendingNerfError(
            f"The model {model!r} needs weights: give a tag or the path of a file as pretrained. {known}"
        )
    if open_clip.is_pretrained_cfg(model, pretrained) or os.path.isfile(pretrained):
        return
    if os.path.isdir(pretrained):
        raise BlendingNerfError(f"The folder {pretrained} has no {FOLDER_CONFIG}; give the weights file. {known}")
    if os.sep in pretrained or Path(pretrained).suffix in (".pt", ".pth", ".bin", ".safetensors", ".ckpt"):
        places = (str(Path(pretrained).expanduser().absolute()),)
        raise missing_weights(f"model {model!r} at the path {pretrained!r}", places, LOCAL_PATH)
    near = difflib.get_close_matches(pretrained, tags, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise BlendingNerfError(f"{pretrained!r} is neither a pretrained tag of {model} nor a file. {hint}{known}")


def _download(model: str, pretrained: Optional[str], hub: Hub) -> None:
    """Fetches weights into the cache, before the time for building the model is spent."""
    open_clip = import_open_clip()
    if model.startswith(HUB_PREFIX):
        repository = model[len(HUB_PREFIX) :]
        try:
            open_clip.download_pretrained({"hf_hub": f"{repository}/"})
        except Exception as error:  # the hub's clients raise their own, urllib's, OSError ...
            raise missing_weights(f"model {model!r}", hub.places(repository), LOCAL_PATH, error) from error
        return
    config = open_clip.get_pretrained_cfg(model, pretrained or "")
    what = f"model {model!r} with pretrained={pretrained!r}"
    cached = Path(_at_home("~/.cache/clip")) / Path(config.get("url", "")).name
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
        repository = str(text.get("hf_tokenizer_name", model))
        places = hub.places(repository)
        raise missing_weights(f"the tokenizer of {model!r}", places, LOCAL_PATH, error) from error


def _unusable(model: str, pretrained: Optional[str], error: Exception) -> BlendingNerfError:
    """The error for weights that were found and cannot be used."""
    what = f"The weights {pretrained!r} cannot be used for the model {model!r}"
    message = str(error)
    if "TorchScript" in message:
        return BlendingNerfError(
            f"{what}: the file is a TorchScript archive, which is a program and not only weights. Save its state dict "
            "(torch.save or safetensors) once and give that file."
        )
    if "timm" in message:  # a repository's, of which nothing is known before
        return BlendingNerfError(f"{what}: it has {TIMM_TOWER}.")
    if "state_dict" in message or isinstance(error, AssertionError):
        return BlendingNerfError(
            f"{what}: they belong to another architecture. Give the open_clip model name that they were trained with. "
            f"{summary(error)}"
        )
    return BlendingNerfError(
        f"{what}: the file cannot be read as plain weights (damaged, incomplete, or with pickled code in it). "
        f"{summary(error)}"
    )
