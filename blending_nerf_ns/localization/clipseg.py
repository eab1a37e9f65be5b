"""Where a text is in an image: CLIPSeg through transformers, as probability maps.

The source text of an edit is looked for in renders of the frozen base (Blending-NeRF, arXiv 2308.11974, its figure).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from blending_nerf_ns.errors import BlendingNerfError, shortened
from blending_nerf_ns.guidance.embedded import EMBEDDED
from blending_nerf_ns.guidance.preprocess import transform_of_processor
from blending_nerf_ns.guidance.templates import EMBEDDED as EMBEDDED_TEMPLATES
from blending_nerf_ns.guidance.templates import LOCALIZER, fill_templates
from blending_nerf_ns.guidance.weights import Hub, check_reads_words, hub_or_cache, missing_weights

LOCAL_PATH = (
    "give the region's localizer (--pipeline.region.localizer) a local folder made by "
    "save_pretrained of model and processor (config, weights, tokenizer)"
)
INSTEAD = "use the embedded localizer, which needs no download (localizer 'embedded')"


class ClipSegLocalizer:
    """A frozen CLIPSeg. A plain object and not a Module, so that no checkpoint carries its weights."""

    def __init__(self, model: Any, processor: Any, name: str, templates: Sequence[str], embedded: bool = False):
        self.name = name
        """Model, for reports."""
        self.templates = tuple(templates)
        """Prompt templates that suit this model."""
        self.transform = transform_of_processor(processor.image_processor)
        """What turns images in [0, 1] into the model's input; the whole image, stretched to the model's square."""
        self._model = model.eval().requires_grad_(False)
        self._tokenizer = processor.tokenizer
        self.embedded = embedded
        """Whether this is the small model with its few words."""
        self._known: Dict[Tuple[str, ...], Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self._model.parameters()).device

    def probability(
        self, image: Float[Tensor, "H W 3"], text: str, templates: Optional[Sequence[str]] = None
    ) -> Float[Tensor, "H W"]:
        """How likely each pixel of an image shows the text. See `probabilities`."""
        return self.probabilities(image[None], text, templates)[0]

    def localize(self, pictures: Sequence[Float[Tensor, "H W 3"]], text: str) -> List[Tensor]:
        """Probability maps [H, W] of several pictures, those of one size in one pass of the network.

        Args:
            pictures: values in [0, 1], of any sizes.
            text: what to look for.
        """
        return self.localize_each(pictures, [text])[0]

    @torch.no_grad()
    def localize_each(
        self, pictures: Sequence[Float[Tensor, "H W 3"]], texts: Sequence[str], quietly: bool = False
    ) -> List[List[Tensor]]:
        """The same for each of several texts: the pictures are looked at once, which is nearly all of the work.

        Args:
            pictures: values in [0, 1], of any sizes.
            texts: what to look for.
            quietly: without a warning of words that the small model does not know.
        """
        groups: Dict[Tuple[int, ...], List[int]] = {}
        for number, picture in enumerate(pictures):
            groups.setdefault(tuple(picture.shape), []).append(number)
        maps: List[Dict[int, Tensor]] = [{} for _ in texts]
        with warnings.catch_warnings():
            if quietly:
                warnings.simplefilter("ignore")
            for numbers in groups.values():
                images = torch.stack([pictures[n] for n in numbers])
                seen = self._look_at(images)
                for found, text in zip(maps, texts, strict=True):
                    found.update(zip(numbers, self._maps(images, seen, text, self.templates), strict=True))
        return [[found[number] for number in range(len(pictures))] for found in maps]

    @torch.no_grad()
    def probabilities(
        self, images: Float[Tensor, "B H W 3"], text: str, templates: Optional[Sequence[str]] = None
    ) -> Float[Tensor, "B H W"]:
        """How likely each pixel of each image shows the text, without gradient.

        Args:
            images: values in [0, 1].
            text: what to look for, such as "a red ball".
            templates: sentences with a "{}"; those that suit the model if not given. The result is the mean over them.

        Returns:
            Probabilities in [0, 1] on the images' device, resized from the model's resolution to the images'.

        Raises:
            BlendingNerfError: the text is empty or longer than the model's context, the images are not RGB, or the
                model gives NaN.
        """
        return self._maps(images, self._look_at(images), text, self.templates if templates is None else templates)

    def _look_at(self, images: Float[Tensor, "B H W 3"]) -> List[Float[Tensor, "B patches D"]]:
        """What the decoder reads of images, whatever is looked for: layers of the vision tower."""
        if images.dim() != 4 or images.shape[-1] != 3:
            raise BlendingNerfError(f"expected images of shape [B, H, W, 3], got {tuple(images.shape)}")
        pixels = self.transform(images.permute(0, 3, 1, 2).float().to(self.device))
        hidden = self._model.clip.vision_model(pixel_values=pixels, output_hidden_states=True).hidden_states
        return [hidden[layer + 1] for layer in self._model.extract_layers]  # the first are the patches themselves

    def _maps(
        self, images: Float[Tensor, "B H W 3"], seen: List[Tensor], text: str, templates: Sequence[str]
    ) -> Float[Tensor, "B H W"]:
        """Probabilities of images that were looked at."""
        prompts = self._embeddings(text, templates)
        total = torch.zeros(())
        for prompt in prompts:
            logits = self._model.decoder(seen, prompt.expand(len(images), -1)).logits
            total = total.to(logits) + logits.reshape(len(images), *logits.shape[-2:]).sigmoid() / len(prompts)
        if not bool(torch.isfinite(total).all()):
            raise BlendingNerfError(
                f"{self.name} gives NaN for {text!r} (image values from {float(images.min()):.3g} to "
                f"{float(images.max()):.3g}); the image or the weights are damaged"
            )
        size = tuple(images.shape[1:3])
        maps = functional.interpolate(total[:, None].float(), size=size, mode="bilinear", align_corners=False)
        return maps[:, 0].clamp(0.0, 1.0).to(images.device)

    def _embeddings(self, text: str, templates: Sequence[str]) -> Float[Tensor, "T D"]:
        """Conditional embeddings of a prompt in its templates; the last texts are kept."""
        texts = tuple(fill_templates(text, templates))
        if texts not in self._known:
            self._warn_about_words(text)
            if len(self._known) >= 64:
                self._known.clear()
            length = self._model.config.text_config.max_position_embeddings
            tokens = self._tokenizer(list(texts), padding=True, return_tensors="pt").to(self.device)
            if tokens["input_ids"].shape[1] > length:
                raise BlendingNerfError(
                    f"the source text {shortened(text)!r} makes {tokens['input_ids'].shape[1]} tokens, but {self.name} reads at most "
                    f"{length}; use fewer words"
                )
            self._known[texts] = self._model.get_conditional_embeddings(
                batch_size=len(texts), input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
        return self._known[texts]

    def _warn_about_words(self, text: str) -> None:
        if not self.embedded:
            return
        from blending_nerf_ns.guidance.clip import warn_unknown_words
        from blending_nerf_ns.guidance.embedded import check_says_something

        check_says_something(text)
        warn_unknown_words(text)


def load_clipseg(model: str, device: Union[str, torch.device] = "cpu") -> ClipSegLocalizer:
    """A frozen CLIPSeg.

    Args:
        model: "embedded", a name on the hub ("CIDAS/clipseg-rd64-refined"), or a local folder with config, weights
            (safetensors, or a PyTorch state dict, read without executing pickled code), tokenizer and image processor.
        device: where the model goes.

    Raises:
        BlendingNerfError: the model is not found here nor downloadable, or is not a CLIPSeg.
    """
    if model == EMBEDDED:
        from blending_nerf_ns.guidance.embedded import mini_clipseg_path

        if not (mini_clipseg_path() / "config.json").is_file():
            raise BlendingNerfError(
                f"{mini_clipseg_path()}, a part of the embedded guidance, is missing: install the package again"
            )
        network, processor = _load(str(mini_clipseg_path()), Hub(False, "not asked"))
        return ClipSegLocalizer(network.to(device), processor, EMBEDDED, EMBEDDED_TEMPLATES, embedded=True)
    folder = Path(model).expanduser()
    if folder.is_dir():
        network, processor = _load(str(folder), Hub(False, "not asked"))
    else:
        check_localizer(model)
        with hub_or_cache() as hub:
            network, processor = _load(model, hub)
    return ClipSegLocalizer(network.to(device), processor, model, LOCALIZER)


def check_localizer(model: str) -> None:
    """Refuse what `load_clipseg` could never load, before work is spent that leads there; nothing is fetched.

    Raises:
        BlendingNerfError: neither "embedded", nor a folder that is there, nor a name as the hub has them.
    """
    folder = Path(model).expanduser()
    if model != EMBEDDED and not folder.is_dir() and (model.count("/") != 1 or model[0] in "./~"):
        raise missing_weights(f"CLIPSeg {model!r}", (f"the folder {folder.absolute()}",), LOCAL_PATH, instead=INSTEAD)


def _processor(model: str, here: bool) -> Any:
    """What prepares pictures and texts, also where its file calls itself as transformers before 4.26 did and 5 no longer knows.

    Args:
        model: a local folder or a name on the hub.
        here: whether only local files are read.
    """
    from transformers import AutoProcessor, AutoTokenizer, CLIPSegProcessor, ViTImageProcessor

    try:
        return AutoProcessor.from_pretrained(model, local_files_only=here)
    except ValueError:
        pictures = ViTImageProcessor.from_pretrained(model, local_files_only=here)
        return CLIPSegProcessor(pictures, AutoTokenizer.from_pretrained(model, local_files_only=here))


def _load(model: str, hub: Hub) -> Tuple[Any, Any]:
    """Model in float32 and processor, of a local folder or a name on the hub."""
    from transformers import AutoConfig, CLIPSegForImageSegmentation

    local = Path(model).is_dir()
    try:
        if local and not (Path(model) / "config.json").is_file():  # transformers may guess by the folder's name
            raise FileNotFoundError("it has no config.json")
        config = AutoConfig.from_pretrained(model, local_files_only=not hub.online)
        if config.model_type != "clipseg":
            raise BlendingNerfError(f"{model!r} is a {config.model_type!r} model; the localiser wants a CLIPSeg")
        loaded: Any = CLIPSegForImageSegmentation.from_pretrained(
            model, config=config, local_files_only=not hub.online, output_loading_info=True
        )
        network, report = loaded
        processor = _processor(model, not hub.online)
        check_reads_words(processor.tokenizer)
    except BlendingNerfError:
        raise
    except Exception as error:  # transformers, the hub's client, safetensors and json raise their own
        places = (f"the folder {Path(model).absolute()}",) if local else hub.places(model)
        raise missing_weights(f"CLIPSeg {model!r}", places, LOCAL_PATH, error, INSTEAD) from error
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("position_ids"))
    if missing:  # transformers would go on with random values for these
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise BlendingNerfError(f"the weights of {model!r} lack {len(missing)} tensors of a CLIPSeg ({shown})")
    return network.float(), processor
