"""What names open_clip's models and weights: checked, and told apart, before anything is fetched or built."""

from __future__ import annotations

import difflib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from blending_nerf_ns.compat import import_open_clip
from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning
from blending_nerf_ns.guidance.weights import missing_weights, summary

HUB_PREFIX = "hf-hub:"
FOLDER_CONFIG = "open_clip_config.json"
FOLDER_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TIMM_TOWER = "a vision tower of timm, which wants timm >= 1, and nerfstudio 1.1.5 pins timm 0.6.7"
OF_TRANSFORMERS = (
    "these are weights in transformers' format, and open_clip reads its own: take the same model there (for OpenAI's the tag 'openai'), or "
    f"a repository that has an {FOLDER_CONFIG}"
)
QUICK_GELU = ("quickgelu", "openai", "metaclip", "dfn")
"""In names of files whose weights were trained with that activation."""
LOCAL_PATH = (
    "give the path of a local file as pretrained (--pipeline.guidance.pretrained, --guide-pretrained, --judge.pretrained; "
    ".safetensors, .pt or .bin, for this model)"
)


def check_names(model: str, pretrained: Optional[str]) -> None:
    """See `clip.check_names`."""
    model, pretrained = at_home(model), at_home(pretrained)
    if folder := named_folder(model, pretrained):
        register_folder(folder)
    elif not model.startswith(HUB_PREFIX):
        check_pretrained(known_name(model), pretrained)


def said(model: str, pretrained: Optional[str]) -> str:
    """Model and weights as reports name them: a folder and a repository bring their own weights, whatever tag stands beside them."""
    if folder := named_folder(model, pretrained):
        return str(folder)
    return model if not pretrained or model.startswith(HUB_PREFIX) else f"{model} ({pretrained})"


def trained_with_quick_gelu(model: str, pretrained: Optional[str]) -> bool:
    """Whether a tag's weights, OpenAI's among them, want the activation of the name with "-quickgelu", which open_clip 2.32 takes by that
    name alone and else only warns of. Of a file nobody knows."""
    known = import_open_clip().get_pretrained_cfg(model, pretrained) if pretrained else None
    return bool((known or {}).get("quick_gelu"))


def at_home(name: Any) -> Any:
    """A name or path, without the "~" that a shell leaves behind a "="."""
    return os.path.expanduser(name) if name else name


def named_folder(model: str, pretrained: Optional[str] = None) -> Optional[Path]:
    """The local open_clip folder that one of the two names, if any: it is loaded whatever the other says, and the weights' name is looked
    at first."""
    for place in filter(None, (at_home(pretrained), at_home(model))):
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


def register_folder(folder: Path) -> Tuple[str, str, Dict[str, Any]]:
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
    check_tower(name, str(folder))
    return name, str(weights), dict(config.get("preprocess_cfg", {}))


def known_name(model: str) -> str:
    """open_clip's spelling of a model name."""
    open_clip = import_open_clip()
    name, known = model.replace("/", "-"), open_clip.list_models()
    if name in known:
        check_tower(name, model)
        return name
    by_lower = {k.lower(): k for k in known if not wants_timm(k)}
    near = [by_lower[k] for k in difflib.get_close_matches(name.lower(), list(by_lower), n=5, cutoff=0.4)]
    hint = f"Close names: {', '.join(near)}. " if near else ""
    raise BlendingNerfError(
        f"open_clip has no model {model!r}. {hint}Give one of open_clip.list_models(), {HUB_PREFIX}owner/name, a folder with "
        f"an {FOLDER_CONFIG}, or 'embedded'."
    )


def wants_timm(name: str) -> bool:
    """Whether a model that open_clip knows has a vision tower of timm, and the timm that is installed is too old for open_clip."""
    from open_clip import timm_model

    return timm_model.timm is None and "timm_model_name" in import_open_clip().get_model_config(name)["vision_cfg"]


def check_tower(name: str, said: str) -> None:
    """Refuses what can never be built here."""
    if wants_timm(name):
        raise BlendingNerfError(
            f"the model {said!r} has {TIMM_TOWER}: choose one with a tower of open_clip's own, such as ViT-B-16, ViT-L-14 or xlm-roberta-base-ViT-B-32."
        )


def warn_of_preprocessing(model: str, pretrained: Optional[str]) -> None:
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


def warn_of_activation(model: str, pretrained: Optional[str], sign: str = "") -> None:
    """Of a file nobody knows by which activation it was trained, but for what it is called and what lies beside its weights.

    Args:
        model: open_clip's name.
        pretrained: a file, or anything else, of which nothing is said.
        sign: of QuickGELU, where the file shows one beside its name.
    """
    file, suffix = Path(pretrained or ""), "-quickgelu"
    other = f"{model}{suffix}"
    if not file.is_file() or model.endswith(suffix) or other not in import_open_clip().list_models():
        return
    sign = sign or ("is called so" if any(name in file.name.lower() for name in QUICK_GELU) else "")
    if sign:
        warnings.warn(
            f"The file {file} {sign}, as weights do that were trained with QuickGELU; if they were, give {other} for {model}.",
            GuidanceWarning,
            stacklevel=2,
        )


def check_pretrained(model: str, pretrained: Optional[str]) -> None:
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
        other = "give the weights file" if not (Path(pretrained) / "config.json").is_file() else OF_TRANSFORMERS
        raise BlendingNerfError(f"The folder {pretrained} has no {FOLDER_CONFIG}; {other}. {known}")
    if os.sep in pretrained or Path(pretrained).suffix in (".pt", ".pth", ".bin", ".safetensors", ".ckpt"):
        places = (str(Path(pretrained).expanduser().absolute()),)
        raise missing_weights(f"model {model!r} at the path {pretrained!r}", places, LOCAL_PATH)
    near = difflib.get_close_matches(pretrained, tags, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise BlendingNerfError(f"{pretrained!r} is neither a pretrained tag of {model} nor a file. {hint}{known}")
