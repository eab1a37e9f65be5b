"""The configuration of a run, before anything is set up by it, and as it is read again."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.pipeline import BlendingPipeline
from blending_nerf_ns.runs.adopting import adopt_resumed_run
from method_configs.baselines import clip_nerf_finetune
from method_configs.blending_nerf import blending_nerf, blending_nerf_cpu


def test_a_resume_without_its_capture_lies_beside_what_it_goes_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "chair" / "blending-nerf-cpu" / "first"

    def base_dir(**flags: Any) -> Path:
        config: Any = deepcopy(blending_nerf_cpu.config)
        config.output_dir, config.timestamp = tmp_path / "out", "second"
        for name, value in flags.items():
            setattr(config, name, value)
        config.pipeline.datamanager.data = config.data
        return config.get_base_dir().relative_to(tmp_path / "out")

    models = folder / "nerfstudio_models"
    assert base_dir(load_dir=models) == Path("unnamed/blending-nerf-cpu/second"), "there is no such run"
    models.mkdir(parents=True)
    (folder / "config.yml").touch()
    beside = Path("chair/blending-nerf-cpu/second")
    assert base_dir(load_dir=models) == base_dir(load_checkpoint=models / "step-000000001.ckpt") == beside
    assert base_dir(load_dir=models, experiment_name="mine") == Path("mine/blending-nerf-cpu/second")
    assert base_dir(load_dir=models, data=tmp_path / "table") == Path("table/blending-nerf-cpu/second")
    assert base_dir() == Path("unnamed/blending-nerf-cpu/second")


@pytest.mark.parametrize("method", [blending_nerf_cpu, clip_nerf_finetune], ids=["ours", "fine-tuned"])
def test_no_run_is_trained_over(method: Any, tmp_path: Path) -> None:
    """As --load-config or the same --timestamp would: the layers of a run are in its checkpoints alone."""

    def config_of(**flags: Any) -> Any:
        config: Any = deepcopy(method.config)
        config.data = config.pipeline.datamanager.data = tmp_path / "chair"
        config.output_dir = tmp_path / "out"
        for name, value in flags.items():
            setattr(config, name, value)
        return config

    first = config_of(timestamp="first")
    models = first.get_base_dir() / "nerfstudio_models"
    first.set_timestamp()
    models.mkdir(parents=True)
    first.set_timestamp()  # one that ended before it saved anything
    torch.save({}, models / "step-000000017.ckpt")
    loaded = yaml.load(yaml.dump(first), Loader=yaml.Loader)
    elsewhere = models.parent.with_name("third") / models.name
    for again in (loaded, config_of(timestamp="first"), config_of(timestamp="first", load_dir=elsewhere)):
        with pytest.raises(
            SystemExit, match=r"is a run already, .* go on from it by --load-dir .*first/nerfstudio_models"
        ):
            again.set_timestamp()
    for fine in (config_of(), config_of(timestamp="second"), config_of(timestamp="first", load_dir=models)):
        fine.set_timestamp()
    config_of(timestamp="first", load_checkpoint=models / "step-000000017.ckpt").set_timestamp()


def test_a_run_is_resumed_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "run" / "nerfstudio_models"
    models.mkdir(parents=True)
    torch.save({}, models / "step-000000001.ckpt")
    monkeypatch.chdir(models)
    for flags in ({"load_dir": Path(".")}, {"load_checkpoint": Path("step-000000001.ckpt")}):
        config: Any = deepcopy(blending_nerf_cpu.config)
        for name, value in flags.items():
            setattr(config, name, value)
        assert config.resumes.parent == models.parent and config.find_checkpoint().parent.parent == models.parent


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, which can be used")
@pytest.mark.parametrize("method", [blending_nerf, clip_nerf_finetune], ids=["ours", "fine-tuned"])
def test_without_a_gpu_its_methods_say_so_before_they_fetch_anything(method: Any, tmp_path: Path) -> None:
    config: Any = deepcopy(method.config)
    assert config.machine.device_type == "cuda"
    config.data = config.pipeline.datamanager.data = tmp_path  # no capture either
    config.output_dir, config.vis = tmp_path / "out", "tensorboard"
    config.pipeline.source_text, config.pipeline.target_text = "a red ball", "a blue ball"
    config.set_timestamp()
    config.save_config()
    said = r"--machine.device-type cuda cannot be used \(.+\); without a GPU train a method whose name ends with -cpu"
    with pytest.raises(SystemExit, match=said):
        config.setup(local_rank=0, world_size=1).setup()
    assert not list((tmp_path / "out").rglob("*")), "nothing is left of it"


def test_a_config_of_when_the_pipelines_configuration_stood_beside_the_pipeline_is_read() -> None:
    written = yaml.dump(blending_nerf_cpu.config)
    before = written.replace("blending_nerf_ns.pipeline_config.", "blending_nerf_ns.pipeline.")
    assert before != written
    read = yaml.load(before, Loader=yaml.Loader)
    assert read == blending_nerf_cpu.config and read.pipeline._target is BlendingPipeline


@pytest.mark.parametrize("flag", ["data", "dataparser"])
def test_a_resume_may_name_where_its_capture_is_now(flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `--data`, and by `nerfstudio-data --data` at the end of the command."""
    saved: Any = deepcopy(blending_nerf_cpu.config)
    saved.pipeline.datamanager.data = tmp_path / "old"
    (tmp_path / "config.yml").write_text(yaml.dump(saved))
    config: Any = deepcopy(blending_nerf_cpu.config)
    manager = config.pipeline.datamanager
    (manager if flag == "data" else manager.dataparser).data = tmp_path / "new"
    with pytest.raises(BlendingNerfError, match=r"capture .*new is not there"):
        adopt_resumed_run(config, tmp_path / "config.yml")
    (tmp_path / "new").mkdir()
    adopt_resumed_run(config, tmp_path / "config.yml")
    assert manager.data == tmp_path / "new"
    monkeypatch.chdir(tmp_path / "new")
    here: Any = deepcopy(blending_nerf_cpu.config)
    here.pipeline.datamanager.data = Path(".")
    adopt_resumed_run(here, tmp_path / "config.yml")
    assert here.pipeline.datamanager.data == Path(".")
    other: Any = deepcopy(blending_nerf_cpu.config)
    (tmp_path / "old").mkdir()
    adopt_resumed_run(other, tmp_path / "config.yml")
    assert other.pipeline.datamanager.data == tmp_path / "old"
