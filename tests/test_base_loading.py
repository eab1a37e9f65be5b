"""A real run of nerfstudio's nerfacto becomes a base that renders the same pixels, or one clear error says why not."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.models.instant_ngp import InstantNGPModelConfig
from nerfstudio.utils.eval_utils import eval_setup
from nerfstudio.utils.external import TCNN_EXISTS
from tiny_nerfacto import TINY, write_blank_alexnet, write_capture
from tiny_run import TINY_FLAGS, tiny_model
from tiny_run import run as run_command

from blending_nerf_ns.bases.loading import check_same_capture, load_base, read_base_run
from blending_nerf_ns.bases.nerfacto import NerfactoBase
from blending_nerf_ns.compat import allow_nerfstudio_checkpoints
from blending_nerf_ns.edits.file import save_edit
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.config import RegionConfig
from method_configs.blending_nerf import blending_nerf_cpu

pytestmark = pytest.mark.slow  # one real training run, about half a minute of one core

STEPS = 6

NERFSTUDIO = """
import sys
from pathlib import Path

from nerfstudio.scripts.train import entrypoint  # what the command ns-train calls

if __name__ == "__main__":
    entrypoint()

    import torch
    from nerfstudio.utils.eval_utils import eval_setup
    from blending_nerf_ns.compat import allow_nerfstudio_checkpoints

    allow_nerfstudio_checkpoints()
    config_yml = next(Path(sys.argv[sys.argv.index("--output-dir") + 1]).glob("*/nerfacto/*/config.yml"))
    _, pipeline, _, step = eval_setup(config_yml, test_mode="inference")
    cameras = pipeline.datamanager.train_dataset.cameras
    outputs = [pipeline.model.get_outputs_for_camera(cameras[i : i + 1]) for i in range(2)]
    anneal = pipeline.model.proposal_sampler._anneal
    torch.save({"outputs": outputs, "poses": cameras.camera_to_worlds, "step": step, "anneal": anneal}, "theirs.pt")
"""


@pytest.fixture(scope="session")
def nerfacto_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ns-train nerfacto` on a tiny capture, then nerfstudio's own rendering of that run, in a process of its own."""
    folder = tmp_path_factory.mktemp("nerfacto")
    write_capture(folder / "capture")
    write_blank_alexnet(folder / "torch")
    command = [sys.executable, "-c", NERFSTUDIO, "nerfacto", "--data", "capture", "--output-dir", "outputs"]
    command += ["--max-num-iterations", str(STEPS), "--machine.device-type", "cpu", "--vis", "tensorboard"]
    for name, value in TINY.items():
        values = value if isinstance(value, tuple) else (value,)
        command += [f"--pipeline.model.{name.replace('_', '-')}", *map(str, values)]
    for split in ("train", "eval"):
        command += [f"--pipeline.datamanager.{split}-num-rays-per-batch", "64"]
    environment = {
        **os.environ,
        "TORCH_HOME": str(folder / "torch"),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return next(folder.glob("outputs/*/nerfacto/*/config.yml")).parent


@pytest.fixture
def run(nerfacto_run: Path, tmp_path: Path) -> Path:
    """The run in another folder, to be spoilt."""
    return Path(shutil.copytree(nerfacto_run, tmp_path / "run"))


def edit_checkpoint(run: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    allow_nerfstudio_checkpoints()
    path = checkpoint_of(run)
    content = torch.load(path)
    edit(content["pipeline"])
    torch.save(content, path)


def edit_config(run: Path, edit: Callable[[Any], Any]) -> None:
    config = yaml.load((run / "config.yml").read_text(), Loader=yaml.Loader)
    edit(config)
    (run / "config.yml").write_text(yaml.dump(config))


def checkpoint_of(run: Path) -> Path:
    return run / "nerfstudio_models" / f"step-{STEPS - 1:09d}.ckpt"


def error_of(run: Path) -> str:
    with pytest.raises(BlendingNerfError) as caught:
        read_base_run(run / "config.yml")
    return str(caught.value)


# -- what a run gives --------------------------------------------------------------------------------------------


def test_the_base_renders_what_nerfstudio_renders_from_its_run(nerfacto_run: Path) -> None:
    theirs = torch.load(nerfacto_run.parents[3] / "theirs.pt")
    base_run = read_base_run(nerfacto_run / "config.yml")
    base = load_base(base_run)
    data = NerfstudioDataParserConfig(data=nerfacto_run.parents[3] / "capture").setup().get_dataparser_outputs("train")
    assert torch.equal(data.cameras.camera_to_worlds, theirs["poses"])
    check_same_capture(base_run, data)
    assert base.config.eval_num_rays_per_chunk == TINY["eval_num_rays_per_chunk"], "options come from the run"
    assert base.proposal_sampler._anneal == theirs["anneal"] == 1.0, "a loaded run samples without annealing"
    for index, expected in enumerate(theirs["outputs"]):
        outputs = base.get_outputs_for_camera(data.cameras[index : index + 1])
        rays = data.cameras[index : index + 1].generate_rays(camera_indices=0).flatten()
        rendered = base.render(rays).outputs
        assert outputs.keys() == expected.keys() > rendered.keys()
        assert expected["rgb"].std() > 1e-3, "a picture of something"
        for name in expected:
            torch.testing.assert_close(outputs[name], expected[name], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(rendered["rgb"].view_as(expected["rgb"]), expected["rgb"], rtol=0, atol=1e-5)


def test_what_is_read_is_what_the_run_was(nerfacto_run: Path) -> None:
    base_run = read_base_run(nerfacto_run)  # the folder does as well
    assert base_run.config_path == nerfacto_run / "config.yml"
    assert base_run.step == STEPS - 1
    assert base_run.num_images == 8 and base_run.aabb.tolist() == [[-1.0] * 3, [1.0] * 3]
    assert base_run.model_config._target is NerfactoBase
    assert base_run.model_config.hidden_dim == TINY["hidden_dim"] and base_run.model_config.implementation == "torch"
    assert base_run.dataparser_config.data == Path("capture")
    assert base_run.scale == pytest.approx(1 / 3) and base_run.transform.shape == (3, 4)
    assert not any(key.startswith("lpips.") for key in base_run.state)
    assert not any(value.requires_grad for value in base_run.state.values())


def test_a_run_that_was_moved_is_the_same_base(
    nerfacto_run: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    moved = read_base_run(Path("run"))
    assert moved.fingerprint == read_base_run(nerfacto_run).fingerprint
    base = load_base(moved)
    shutil.rmtree(run)
    assert all(value.isfinite().all() for value in base.state_dict().values()), "nothing is left in the files"


def test_the_newest_checkpoint_is_taken(run: Path) -> None:
    shutil.copy(checkpoint_of(run), run / "nerfstudio_models" / "step-000000002.ckpt")
    (run / "nerfstudio_models" / "step-last.ckpt").write_text("somebody's own file")
    assert read_base_run(run).step == STEPS - 1


def test_a_checkpoint_of_a_distributed_run_is_read(nerfacto_run: Path, run: Path) -> None:
    def wrap(pipeline: dict[str, Any]) -> None:
        for key in [key for key in pipeline if key.startswith("_model.")]:
            pipeline[key.replace("_model.", "_model.module.")] = pipeline.pop(key)

    edit_checkpoint(run, wrap)
    assert read_base_run(run).fingerprint == read_base_run(nerfacto_run).fingerprint


def make_it_ours(run: Path, frozen: bool) -> None:
    """The run as one of our own would hold it: nerfacto is a part of the model."""
    from blending_nerf_ns.model import BlendingModelConfig

    def keep_as_base(config: Any) -> None:
        config.method_name = "blending-nerf"
        config.pipeline.model = BlendingModelConfig(base=read_base_run(run).model_config)

    def move(pipeline: dict[str, Any]) -> None:
        for key in [key for key in pipeline if key.startswith("_model.")]:
            pipeline[key.replace("_model.", "_model.base.")] = pipeline.pop(key)
        pipeline["_model.base_frozen"] = torch.tensor(frozen)
        pipeline["_model.edit.field.weight"] = torch.zeros(3)

    edit_config(run, keep_as_base)
    edit_checkpoint(run, move)


def test_the_base_of_a_run_of_ours_can_be_used_again(nerfacto_run: Path, run: Path) -> None:
    make_it_ours(run, frozen=True)
    again = read_base_run(run)
    assert again.fingerprint == read_base_run(nerfacto_run).fingerprint
    assert load_base(again).frozen


def test_an_unfinished_base_is_no_base(run: Path) -> None:
    make_it_ours(run, frozen=False)
    assert "not trained to its end" in error_of(run)


# -- what cannot be a base ---------------------------------------------------------------------------------------


def test_a_path_without_a_run(tmp_path: Path) -> None:
    message = error_of(tmp_path)
    assert str(tmp_path / "config.yml") in message and "ns-train nerfacto" in message


def test_another_method(run: Path) -> None:
    def change(config: Any) -> None:
        config.method_name = "instant-ngp"
        config.pipeline.model = InstantNGPModelConfig()

    edit_config(run, change)
    assert "'instant-ngp'" in error_of(run) and "must be a run of nerfacto" in error_of(run)


def test_a_method_that_is_not_installed(run: Path) -> None:
    text = (run / "config.yml").read_text().replace("nerfstudio.models.nerfacto", "lurf.model")
    (run / "config.yml").write_text(text.replace("method_name: nerfacto", "method_name: lurf"))
    assert "method 'lurf'" in error_of(run) and "lurf.model" in error_of(run)


@pytest.mark.parametrize("content", ["", "a: [", "- 1\n- 2\n"])
def test_a_broken_config(content: str, run: Path) -> None:
    (run / "config.yml").write_text(content)
    assert "does not read as the configuration of a nerfstudio run" in error_of(run)


def test_a_config_that_was_cut_short(run: Path) -> None:
    """A part of it may be YAML as well, and the weights would fit."""
    text = (run / "config.yml").read_text()
    for end in ("\nvis: ", "\npipeline: "):
        (run / "config.yml").write_text(text[: text.index(end) + 1])
        assert "it does not end with 'vis'" in error_of(run)


def test_no_checkpoint(run: Path) -> None:
    checkpoint_of(run).unlink()
    assert "no step-*.ckpt in" in error_of(run)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_truncated_checkpoint(share: float, run: Path) -> None:
    path = checkpoint_of(run)
    os.truncate(path, int(share * path.stat().st_size))
    assert str(path) in error_of(run) and "is truncated" in error_of(run)


def test_another_torch_file(run: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, checkpoint_of(run))
    assert "is not one that nerfstudio wrote whole" in error_of(run) and "'pipeline'" in error_of(run)


class Surprise:
    """Pickles as a call that makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_code_in_a_checkpoint_does_not_run(run: Path, tmp_path: Path) -> None:
    torch.save({"pipeline": {}, "step": Surprise(tmp_path / "made")}, checkpoint_of(run))
    assert "more than tensors and numbers" in error_of(run)
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(TCNN_EXISTS, reason="tinycudann imports here, so its bases can be read")
def test_a_tinycudann_base_where_it_is_missing(run: Path) -> None:
    def flatten(pipeline: dict[str, Any]) -> None:
        for key in [key for key in pipeline if "mlp" in key or "hash_table" in key]:
            del pipeline[key]
        pipeline["_model.field.mlp_base.model.params"] = torch.zeros(10)

    edit_checkpoint(run, flatten)
    assert "trained with tinycudann" in error_of(run) and "implementation torch" in error_of(run)


def test_weights_of_another_model(run: Path) -> None:
    edit_config(run, lambda config: setattr(config.pipeline.model, "hidden_dim", 8))
    with pytest.raises(BlendingNerfError, match=r"of another shape: .*\(16, 8\) instead of \(8, 8\)"):
        load_base(read_base_run(run))


@pytest.mark.parametrize("content", [None, "{}", "not json", '{"transform": [[1, 2]], "scale": 1}'])
def test_no_dataparser_transform(content: str | None, run: Path) -> None:
    path = run / "dataparser_transforms.json"
    path.unlink() if content is None else path.write_text(content)
    assert "dataparser_transforms.json cannot be read" in error_of(run)


@pytest.mark.parametrize("change", ["scale", "frames"])
def test_another_capture_is_refused_with_both_transforms(change: str, nerfacto_run: Path, tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "other", radius=6.0 if change == "scale" else 3.0)
    if change == "frames":
        transforms = json.loads((folder / "transforms.json").read_text())
        transforms["frames"] = transforms["frames"][:-1]
        (folder / "transforms.json").write_text(json.dumps(transforms))
    data = NerfstudioDataParserConfig(data=folder).setup().get_dataparser_outputs("train")
    with pytest.raises(BlendingNerfError, match="another capture") as caught:
        check_same_capture(read_base_run(nerfacto_run), data)
    message = str(caught.value)
    assert message.count("transform [[") == 2 and "scale 0.333333" in message
    assert f"scale {data.dataparser_scale:.6g}" in message


def test_a_users_run_is_edited_and_still_renders_when_its_folder_is_gone(
    nerfacto_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = torch.load(nerfacto_run.parents[3] / "theirs.pt")
    moved = Path(shutil.copytree(nerfacto_run, tmp_path / "moved"))
    shutil.copytree(nerfacto_run.parents[3] / "capture", tmp_path / "capture")
    command = ["blending-nerf-cpu", "--data", "capture", "--output-dir", "out", "--timestamp", "edit"]
    command += without_base(TINY_FLAGS)
    texts = ["--pipeline.source-text", "a red ball", "--pipeline.target-text", "a blue ball"]
    run_command("ns-train", *command, *texts, "--pipeline.base-run", moved / "config.yml", cwd=tmp_path)
    shutil.rmtree(moved)

    monkeypatch.chdir(tmp_path)
    config_yml = next(tmp_path.glob("out/*/blending-nerf-cpu/edit/config.yml"))
    _, pipeline, _, _ = eval_setup(config_yml, test_mode="inference")
    assert pipeline.datamanager.train_dataset is not None
    cameras = pipeline.datamanager.train_dataset.cameras
    outputs = {}
    for index, expected in enumerate(theirs["outputs"]):
        outputs = pipeline.model.get_outputs_for_camera(cameras[index : index + 1])
        assert float((outputs["original"] - expected["rgb"]).abs().max()) <= 1e-5
    assert pipeline.stage == "done" and bool(pipeline.model.edit_ready)
    # six steps leave this base's fog far behind the box: nothing there can be recoloured, but what was added shows
    assert float(outputs["added"].max()) > 1e-3
    assert float((outputs["rgb"] - outputs["original"]).abs().max()) > 1e-3


def test_the_base_of_another_capture_is_refused_by_ns_train(nerfacto_run: Path, tmp_path: Path) -> None:
    write_capture(tmp_path / "other", images=6, radius=2.0)
    done = run_command(
        "ns-train", "blending-nerf-cpu", "--data", "other", "--output-dir", "out", *without_base(TINY_FLAGS),
        "--pipeline.base-run", nerfacto_run / "config.yml", "--pipeline.source-text", "a ball",
        "--pipeline.target-text", "a blue ball", cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "transform" in done.stderr
    assert "data of the base (capture)" in done.stderr, "and not what was given"
    assert "blending-nerf: " in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr, "in one line"


def without_base(flags: list[str]) -> list[str]:
    """The flags of a tiny run but for those of the base's architecture, which a base run brings itself."""
    kept: list[str] = []
    wanted = True
    for flag in flags:
        if flag.startswith("--"):
            wanted = not flag.startswith("--pipeline.model.base.")
        if wanted:
            kept.append(flag)
    return kept


def test_an_edit_file_is_put_on_the_base_of_a_run(nerfacto_run: Path, tmp_path: Path) -> None:
    save_edit(tiny_model().edit, "another base", file := tmp_path / "a.edit.safetensors")
    config = cast(Any, deepcopy(blending_nerf_cpu.config.pipeline))
    config.base_run, config.edits, config.edits_of_any_base = nerfacto_run / "config.yml", (file,), True
    config.datamanager.data = nerfacto_run.parents[3] / "capture"
    config.source_text, config.target_text = "a red ball", "a blue ball"
    config.region = RegionConfig(source="box", box_size=(0.5, 0.5, 0.5))
    pipeline = config.setup(device="cpu", test_mode="val")
    assert len(pipeline.model.layers.all()) == 2 and pipeline.stage == "edit"
