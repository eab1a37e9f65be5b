"""Each shim does its work, and each is still needed: delete a shim when its test `…_is_still_needed` fails."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from tiny_nerfacto import TINY, TINY_PROPOSALS, write_blank_alexnet
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from blending_nerf_ns.compat import allow_nerfstudio_checkpoints, with_batch_encode_plus, without_lpips
from blending_nerf_ns.guidance.embedded import mini_clipseg_path


@pytest.fixture
def fresh_safe_globals() -> Iterator[None]:
    """torch as it was before anybody allowed anything."""
    before = get_safe_globals()
    clear_safe_globals()
    yield
    clear_safe_globals()
    add_safe_globals(before)


@pytest.fixture
def scheduler_state(tmp_path: Path) -> Path:
    """The state that nerfstudio's own scheduler leaves in a checkpoint, after a step of its warm-up."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)
    config = ExponentialDecaySchedulerConfig(lr_final=1e-4, max_steps=100)
    scheduler = config.setup().get_scheduler(optimizer, lr_init=1e-2)
    optimizer.step()
    scheduler.step()
    path = tmp_path / "scheduler.ckpt"
    torch.save({"schedulers": {"fields": scheduler.state_dict()}}, path)
    return path


@pytest.mark.usefixtures("fresh_safe_globals")
def test_allow_nerfstudio_checkpoints_is_still_needed(scheduler_state: Path) -> None:
    with pytest.raises(pickle.UnpicklingError, match="multiarray"):
        torch.load(scheduler_state)


@pytest.mark.usefixtures("fresh_safe_globals")
def test_nerfstudios_checkpoints_load_with_weights_only(scheduler_state: Path) -> None:
    allow_nerfstudio_checkpoints()
    allow_nerfstudio_checkpoints()
    rate = torch.load(scheduler_state, weights_only=True)["schedulers"]["fields"]["_last_lr"][0]
    assert rate == pytest.approx(1e-2 * 0.01 ** (1 / 100))  # one step of a hundred, a hundredfold fall


@pytest.mark.usefixtures("fresh_safe_globals")
@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_scalars_of_numpy_1_and_2_load(module: str, scheduler_state: Path, tmp_path: Path) -> None:
    """The module is a plain string in the file; exchange it for the other numpy's."""
    allow_nerfstudio_checkpoints()
    path = tmp_path / "other.ckpt"
    with zipfile.ZipFile(scheduler_state) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith("data.pkl"):
                content = content.replace(b"numpy._core.", b"numpy.core.")
                content = content.replace(b"numpy.core.multiarray", module.encode())
                assert module.encode() in content
            new.writestr(item.filename, content)
    assert torch.load(path, weights_only=True)["schedulers"]["fields"]["_last_lr"][0] < 1e-2


class Surprise:
    """Pickles as a call that makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.usefixtures("fresh_safe_globals")
def test_code_in_a_checkpoint_stays_refused(tmp_path: Path) -> None:
    allow_nerfstudio_checkpoints()
    torch.save({"step": Surprise(tmp_path / "made")}, tmp_path / "bad.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "bad.ckpt")
    assert not (tmp_path / "made").exists()


def stock_nerfacto() -> NerfactoModel:
    config = NerfactoModelConfig(**TINY, proposal_net_args_list=TINY_PROPOSALS)
    return NerfactoModel(config, SceneBox(aabb=torch.tensor([[-1.0] * 3, [1.0] * 3])), num_train_data=1)


def test_without_lpips_is_still_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    write_blank_alexnet(tmp_path)
    assert any(key.startswith("lpips.") for key in stock_nerfacto().state_dict())


def test_without_lpips_builds_and_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    with without_lpips():
        model = stock_nerfacto()
    assert not any("lpips" in name for name, _ in [*model.named_modules(), *model.state_dict().items()])
    assert not (tmp_path / "empty").exists()


def test_without_lpips_ends_with_its_context() -> None:
    from torchmetrics.image import lpip

    original = lpip.LearnedPerceptualImagePatchSimilarity

    def fail_inside() -> None:
        with without_lpips():
            assert lpip.LearnedPerceptualImagePatchSimilarity is not original
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert lpip.LearnedPerceptualImagePatchSimilarity is original


def _said_by(program: str) -> str:
    """What a fresh Python prints: in this one everything is imported already."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_with_batch_encode_plus_is_still_needed() -> None:
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    tokenizer = HFTokenizer(str(mini_clipseg_path()), context_length=8)
    assert open_clip.__version__.startswith("2."), "3 calls the tokenizer itself"
    with pytest.raises(AttributeError, match="batch_encode_plus"):
        tokenizer("a red ball")
    assert with_batch_encode_plus(tokenizer)("a red ball").shape == (1, 8)


def test_without_wandb_is_still_needed() -> None:
    assert _said_by("import sys, open_clip; print('wandb' in sys.modules)") == "True"


@pytest.mark.parametrize(
    "load", ["clip.load_clip('embedded')", "clip.check_names('ViT-B-32', 'openai')"], ids=["embedded", "names"]
)
def test_a_guide_is_loaded_without_wandb_which_can_be_imported_afterwards(load: str) -> None:
    said = _said_by(
        "import sys\n"
        "from blending_nerf_ns.guidance import clip\n"
        f"{load}\n"
        "print('open_clip' in sys.modules, 'wandb' in sys.modules)\n"
        "import wandb\n"
        "print(hasattr(wandb, 'init'))"
    )
    assert said.split() == ["True", "False", "True"]


def test_a_wandb_that_is_there_stays() -> None:
    program = "from blending_nerf_ns.compat import without_wandb\nimport wandb, sys\nwith without_wandb(): print(sys.modules['wandb'] is wandb)\n"
    assert _said_by(program + "print(sys.modules['wandb'] is wandb)").split() == ["True", "True"]
