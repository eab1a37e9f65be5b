"""Each shim does its work, and each is still needed: delete a shim when its test `…_is_still_needed` fails."""

import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from tiny_nerfacto import TINY, TINY_PROPOSALS, write_blank_alexnet
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from blending_nerf_ns.compat import (
    allow_nerfstudio_checkpoints,
    forgive_gone_clients,
    viewer_outlives_full_gpu,
    with_batch_encode_plus,
    without_lpips,
)
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


def viewer_with_a_closed_page() -> tuple[Any, Any]:
    """nerfstudio's own viewer over a server of viser's, one page of which has gone; and that page's camera."""
    from nerfstudio.viewer.viewer import Viewer
    from viser.infra import WebsockServer

    viewer = Viewer.__new__(Viewer)
    server = SimpleNamespace(lock=WebsockServer("127.0.0.1", 0, verbose=False))
    server.atomic = server.lock.atomic
    viewer.ready, viewer.viser_server, viewer.current_camera_idx = True, server, 0  # type: ignore[assignment]
    viewer.render_tab_state = SimpleNamespace(preview_render=False)  # type: ignore[assignment]
    viewer.render_statemachines = {}
    callbacks: list[Any] = []
    camera = SimpleNamespace(position=(1.0, 1.0, 1.0), wxyz=(1.0, 0.0, 0.0, 0.0), fov=0.8, aspect=1.0)
    camera.on_update = callbacks.append
    page = SimpleNamespace(client_id=3, camera=camera)
    viewer.handle_new_client(page)  # type: ignore[arg-type]
    viewer.handle_disconnect(page)  # type: ignore[arg-type]
    return viewer, lambda: callbacks[0](camera)


def test_forgive_gone_clients_is_still_needed() -> None:
    viewer, move = viewer_with_a_closed_page()
    with pytest.raises(KeyError):
        move()
    assert viewer.viser_server.lock._atomic_lock.locked(), "nobody is told anything any more"


def test_a_camera_that_moved_as_its_page_was_closed_locks_nothing() -> None:
    viewer, move = viewer_with_a_closed_page()
    forgive_gone_clients(viewer)
    move()
    assert not viewer.viser_server.lock._atomic_lock.locked() and not viewer.render_statemachines


@pytest.mark.parametrize("shim", [False, True])
def test_viewer_outlives_full_gpu_is_still_needed(shim: bool) -> None:
    from nerfstudio.viewer.render_state_machine import RenderAction, RenderStateMachine

    said: list[str] = []

    class Page(RenderStateMachine):
        outlived = False

        def _render_img(self, camera_state: Any) -> Any:
            if said:  # it is asked for another picture
                self.outlived, self.running = True, False
            said.append("asked")
            if shim:
                with viewer_outlives_full_gpu(said.append):
                    raise torch.OutOfMemoryError("full")
            raise torch.OutOfMemoryError("full")

        def run(self) -> None:
            try:
                super().run()
            except torch.OutOfMemoryError as error:
                said.append(f"died: {error}")

    page = Page(SimpleNamespace(ready=True, get_camera_state=lambda _: None), 10.0, SimpleNamespace())  # type: ignore[arg-type]
    page.action(RenderAction("move", None))  # type: ignore[arg-type]
    page.start()
    page.join(20.0)
    assert page.outlived == shim and ("died: full" in said) != shim and ("no picture: full" in said) == shim


def test_outside_the_viewer_a_full_gpu_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError), viewer_outlives_full_gpu(lambda _: None):
        raise torch.OutOfMemoryError
