"""CLIP as a guide: real open_clip models with random weights, loaded through every door, and every way it can fail."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_clip import write_tiny_clip

from blending_nerf_ns.errors import BlendingNerfError, GuidanceWarning
from blending_nerf_ns.guidance import open_clip_names, templates, weights
from blending_nerf_ns.guidance.clip import ClipGuide, check_prompts_differ, load_clip
from blending_nerf_ns.guidance.crops import crop, sample_boxes
from blending_nerf_ns.guidance.losses import directional_loss, global_loss


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a very small open_clip model, weights random, whose architecture is known to open_clip as "tiny"."""
    return write_tiny_clip(tmp_path_factory.mktemp("models"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No way to the hub, whatever this machine has, and an empty cache."""
    from huggingface_hub import constants

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: nobody answers
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def images(count: int = 2, size: int = 48) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def guidance_step(guide: ClipGuide, size: int = 64, count: int = 2) -> torch.Tensor:
    """One whole step: crops of an edited and an original picture, both losses, gradient to the edited picture's pixels."""
    original, edited = images(2, size)
    edited = edited.clone().requires_grad_()
    boxes = sample_boxes(torch.ones(size, size), count, torch.Generator().manual_seed(1))
    source, target = (guide.encode_prompt(text, ("{}", "a photo of {}.")) for text in ("a red ball", "a blue ball"))
    check_prompts_differ("a red ball", "a blue ball", source, target)
    features = guide.encode_images(crop(edited, boxes, guide.image_size))
    with torch.no_grad():
        before = guide.encode_images(crop(original, boxes, guide.image_size))
    loss = global_loss(features, target) + directional_loss(before, features, source, target)
    loss.backward()
    assert edited.grad is not None
    return edited.grad


def test_full_size_path(tmp_path: Path):
    """ViT-B-16 in its real size, saved and loaded by path, through a guidance step."""
    import open_clip

    torch.manual_seed(0)
    save_file(open_clip.create_model("ViT-B-16").state_dict(), tmp_path / "vit_b_16.safetensors")
    guide = load_clip("ViT-B-16", str(tmp_path / "vit_b_16.safetensors"))
    assert (guide.image_size, guide.context_length) == (224, 77)
    assert "ViT-B-16" in guide.name
    gradient = guidance_step(guide, 96, count=1)
    assert bool(torch.isfinite(gradient).all())
    assert (gradient != 0).float().mean() > 0.5


@pytest.mark.parametrize(
    ("tag", "quick"), [("openai", True), ("laion2b_s34b_b88k", False), (None, False), ("a/file.pt", False)]
)
def test_weights_of_a_tag_are_read_by_the_activation_that_they_were_trained_with(tag: str | None, quick: bool):
    """open_clip 2.32 reads OpenAI's under this name by another, and only warns."""
    assert open_clip_names.trained_with_quick_gelu("ViT-B-16", tag) == quick


def test_same_features_as_open_clip_gives(tiny: Path):
    import open_clip

    model: Any
    preprocess: Any
    model, _, preprocess = open_clip.create_model_and_transforms("tiny", str(tiny / "trained.pt"))
    model.eval()
    guide = load_clip("tiny", str(tiny / "trained.pt"))
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    with torch.no_grad():
        expected = model.encode_image(preprocess(Image.fromarray(picture))[None], normalize=True)
        texts = model.encode_text(open_clip.get_tokenizer("tiny")(["a red ball", "a toy"]), normalize=True)
    got = guide.encode_images(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
    assert (got * expected).sum() >= 0.9999
    assert torch.allclose(guide.encode_text(["a red ball", "a toy"]), texts, atol=1e-6)


@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "half.safetensors", "trained.pt"])
def test_weights_by_path(tiny: Path, file: str):
    guide = load_clip("tiny", str(tiny / file))
    reference = load_clip("tiny", str(tiny / "trained.pt"))
    features = guide.encode_images(images())
    assert features.dtype == torch.float32
    assert torch.allclose(features.norm(dim=-1), torch.ones(2), atol=1e-5)
    assert torch.allclose(features, reference.encode_images(images()), atol=5e-3 if "half" in file else 1e-6)


@pytest.mark.parametrize("as_model", [True, False])
def test_a_folder_brings_its_own_architecture_and_preprocessing(tiny: Path, as_model: bool):
    guide = load_clip(str(tiny)) if as_model else load_clip("ViT-B-32", str(tiny))
    assert guide.image_size == 32 and guide.name == str(tiny)
    assert guide.transform.mean == (0.5, 0.4, 0.3)
    assert torch.allclose(
        guide.encode_text(["a toy"]), load_clip("tiny", str(tiny / "trained.pt")).encode_text(["a toy"])
    )


def test_guide_is_frozen_and_in_no_checkpoint(tiny: Path):
    guide = load_clip("tiny", str(tiny / "trained.pt"))
    gradient = guidance_step(guide)
    assert bool(torch.isfinite(gradient).all())
    assert gradient.abs().max() > 0
    owner: Any = torch.nn.Module()
    owner.guide = guide  # a plain attribute: neither parameters nor state
    assert list(owner.parameters()) == []
    assert owner.state_dict() == {}
    assert not guide.encode_text(["a toy"]).requires_grad
    assert not guide.encode_images(images()).requires_grad


def test_prompt_is_the_mean_over_templates(tiny: Path):
    guide = load_clip("tiny", str(tiny / "trained.pt"))
    single = guide.encode_text(["a red ball", "a photo of a red ball."])
    mean = single.mean(0) / single.mean(0).norm()
    assert torch.allclose(guide.encode_prompt("a  red ball", ("{}", "a photo of {}.")), mean, atol=1e-6)
    assert guide.templates == templates.PHOTO
    assert torch.allclose(guide.encode_prompt("a red ball"), guide.encode_prompt("a red ball", templates.PHOTO))


def test_long_texts_warn(tiny: Path):
    guide = load_clip("tiny", str(tiny / "trained.pt"))  # 20 tokens: 18 and the two ends
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guide.encode_text([" ".join(["red"] * 18), "short"])
        guide.encode_prompt("a ball", ("{}" + " red" * 30,))  # a long template is the programmer's, not the user's
    for count in (19, 25, 300):
        with pytest.warns(GuidanceWarning, match="longer than the 20 tokens"):
            guide.encode_text([" ".join(["red"] * count)])
    with pytest.warns(GuidanceWarning, match="longer than the 20 tokens"):
        guide.encode_prompt(" ".join(["red"] * 19))
    whole, fits = " ".join(["red"] * 17), ("{}", "{} red")
    assert torch.equal(guide.encode_prompt(whole, (*fits, "a photo of {}")), guide.encode_prompt(whole, fits)), (
        "not its end cut off"
    )


def test_importing_the_guidance_loads_no_network_library():
    modules = "clip crops losses open_clip_names open_clip_source preprocess templates views weights"
    imports = "; ".join(f"import blending_nerf_ns.guidance.{name}" for name in modules.split())
    heavy = "('open_clip', 'transformers', 'huggingface_hub', 'viser', 'nerfstudio', 'torchvision')"
    code = (
        f"{imports}; import blending_nerf_ns.localization.clipseg, sys; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_templates():
    assert templates.fill_templates(" a red  ball ", ("{}", "a photo of {}.")) == [
        "a red ball",
        "a photo of a red ball.",
    ]
    for names in (templates.PHOTO, templates.EMBEDDED, templates.LOCALIZER):
        assert len(set(templates.fill_templates("x", names))) == len(names)
    with pytest.raises(BlendingNerfError, match="prompt '  ' is empty"):
        templates.fill_templates("  ", ("{}",))
    with pytest.raises(BlendingNerfError, match="no prompt template"):
        templates.fill_templates("a ball", ())
    with pytest.raises(BlendingNerfError, match="'a photo' has no"):
        templates.fill_templates("a ball", ("a photo",))


def test_equal_prompts_are_refused(tiny: Path):
    guide = load_clip("tiny", str(tiny / "trained.pt"))
    feature = guide.encode_prompt("a ball")
    with pytest.raises(BlendingNerfError, match="'a ball' and the target text 'a BALL' mean the same"):
        check_prompts_differ("a ball", "a BALL", feature, guide.encode_prompt("a BALL"))


# ----------------------------------------------------------------------------------------------------- what can go wrong


def test_unknown_model_lists_close_names():
    with pytest.raises(BlendingNerfError, match=r"no model 'vit-b16'.*Close names: .*ViT-B-16"):
        load_clip("vit-b16", "openai")


def test_no_weights_and_unknown_tags_list_the_tags():
    with pytest.raises(BlendingNerfError, match=r"needs weights.*Tags of ViT-B-16: openai"):
        load_clip("ViT-B/16")
    with pytest.raises(BlendingNerfError, match=r"'opneai' is neither.*Did you mean 'openai'.*laion400m_e31"):
        load_clip("ViT-B-16", "opneai")


def test_a_path_that_does_not_exist(tmp_path: Path):
    path = tmp_path / "clip.safetensors"
    with pytest.raises(BlendingNerfError) as caught:
        load_clip("ViT-B-16", str(path))
    for part in ("ViT-B-16", str(path), "path of a local file", "embedded guidance"):
        assert part in str(caught.value)


def test_unusable_files(tiny: Path, tmp_path: Path):
    with pytest.raises(BlendingNerfError, match="belong to another architecture"):
        load_clip("RN50", str(tiny / "trained.pt"))
    for name in ("open_clip_model.safetensors", "trained.pt"):
        cut = tmp_path / name
        cut.write_bytes((tiny / name).read_bytes()[:5000])
        with pytest.raises(BlendingNerfError, match="cannot be read as plain weights"):
            load_clip("tiny", str(cut))
    (tmp_path / "empty.pt").write_bytes(b"")
    with pytest.raises(BlendingNerfError, match="cannot be used for the model 'tiny'"):
        load_clip("tiny", str(tmp_path / "empty.pt"))
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "archive.pt"))
    with pytest.raises(BlendingNerfError, match="TorchScript archive"):
        load_clip("tiny", str(tmp_path / "archive.pt"))
    with pytest.raises(BlendingNerfError, match=r"has no open_clip_config\.json; give the weights file"):
        load_clip("tiny", str(tmp_path))


def test_a_state_dict_of_openais_archive_is_read(tiny: Path, tmp_path: Path):
    """As our own advice lets one save it: numbers lie beside the weights there."""
    wanted = load_clip("tiny", str(tiny / "trained.pt")).encode_text(["a red ball"])
    state = load_file(tiny / "open_clip_model.safetensors")
    numbers = {"input_resolution": 32, "context_length": 20, "vocab_size": 49408}
    state |= {name: torch.tensor(value) for name, value in numbers.items()}
    torch.save(state, tmp_path / "saved.pt")
    save_file(state, tmp_path / "saved.safetensors")
    for name in ("saved.pt", "saved.safetensors"):
        assert torch.equal(load_clip("tiny", str(tmp_path / name)).encode_text(["a red ball"]), wanted)
    with pytest.raises(BlendingNerfError, match="belong to another architecture"):
        load_clip("RN50", str(tmp_path / "saved.pt"))


def test_weights_in_the_format_of_transformers_are_called_so(tiny: Path, tmp_path: Path):
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPModel(CLIPConfig(text_config=small, vision_config={**small, "image_size": 32})).save_pretrained(tmp_path)
    for place in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(BlendingNerfError, match=r"weights in transformers' format.* the tag 'openai'"):
            load_clip("tiny", str(place))


class Trap:
    """Unpickling this runs code."""

    def __reduce__(self):
        return exec, ("raise SystemExit('pickled code ran')",)


def test_pickled_code_is_not_run(tiny: Path, tmp_path: Path):
    torch.save({"state_dict": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "trap.bin").write_bytes(pickle.dumps(Trap()))
    for name in ("trap.pt", "trap.bin"):
        with pytest.raises(BlendingNerfError, match="pickled code"):
            load_clip("tiny", str(tmp_path / name))


def test_damaged_folders(tiny: Path, tmp_path: Path):
    config = tmp_path / "open_clip_config.json"
    config.write_text("{}")
    with pytest.raises(BlendingNerfError, match=r"but no open_clip_model\.safetensors"):
        load_clip(str(tmp_path))
    (tmp_path / "open_clip_model.safetensors").write_bytes((tiny / "open_clip_model.safetensors").read_bytes())
    with pytest.raises(BlendingNerfError, match="not an open_clip config"):
        load_clip(str(tmp_path))
    config.write_text(json.dumps({"model_cfg": {"embed_dim": 16}}))
    with pytest.raises(BlendingNerfError, match="lacks embed_dim, vision_cfg or text_cfg"):
        load_clip(str(tmp_path))


@pytest.mark.usefixtures("offline")
def test_offline_says_what_was_looked_for_without_retries(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    from huggingface_hub import constants

    for model, tag in (("ViT-B-32", "openai"), ("hf-hub:nobody/clip", None)):
        with pytest.raises(BlendingNerfError) as caught:
            load_clip(model, tag)
        message = str(caught.value)
        for part in (model, str(tmp_path / "hub"), "127.0.0.1:9", "no connection", "local file", "embedded guidance"):
            assert part in message
    output = capfd.readouterr()
    assert "Retrying" not in output.out + output.err  # the hub's client alone takes 48 seconds here
    assert constants.HF_HUB_OFFLINE is False  # put back


@pytest.mark.usefixtures("offline")
def test_offline_url_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import open_clip

    monkeypatch.setenv("HOME", str(tmp_path))
    url = "http://127.0.0.1:9/models/weights.pt"
    monkeypatch.setattr(open_clip, "is_pretrained_cfg", lambda model, tag: True)
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag: {"url": url})
    with pytest.raises(BlendingNerfError, match="no connection") as caught:
        load_clip("ViT-B-32", "some-tag")
    assert url in str(caught.value)
    assert str(tmp_path / ".cache/clip/weights.pt") in str(caught.value)


@pytest.fixture
def hub(tiny: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A hub on this machine with one repository, me/tiny."""
    from huggingface_hub import constants

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = tiny / self.path.split("?")[0].rsplit("/", 1)[-1]
            found = self.path.startswith("/me/tiny/resolve/") and file.is_file()
            body = file.read_bytes() if found else b"{}"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{file.name}"')
            if not found:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    yield address
    server.shutdown()
    server.server_close()


def test_online_downloads_and_then_works_from_the_cache(hub: str, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    expected = load_clip("tiny", str(tiny / "trained.pt")).encode_text(["a toy"])
    with weights.hub_or_cache() as access:
        assert access.online
    guide = load_clip("hf-hub:me/tiny", "laion2b_s34b_b88k")  # a method's default stands beside it
    assert guide.name == "hf-hub:me/tiny" and torch.allclose(guide.encode_text(["a toy"]), expected)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert torch.allclose(load_clip("hf-hub:me/tiny").encode_text(["a toy"]), expected)


def test_reachable(hub: str, monkeypatch: pytest.MonkeyPatch):
    assert weights.reachable(hub)
    assert not weights.reachable("http://127.0.0.1:9")
    assert not weights.reachable("https://no-such-host.invalid/model")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # a proxy may well get there: the real client decides
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert weights.reachable("http://no-such-host.invalid/model")
    assert not weights.reachable("http://127.0.0.1:9")


def test_hub_switched_off_by_the_user_stays_off(monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with weights.hub_or_cache() as access:
        assert not access.online
        assert "HF_HUB_OFFLINE is set" in " ".join(access.places("a/b"))
    assert constants.HF_HUB_OFFLINE is True
