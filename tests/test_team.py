"""Two processes train one edit: gloo on CPU, with nerfstudio's own training loop in each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import BASE_STEPS, EDIT_STEPS, TINY_FLAGS, run, run_of, train, write_tiny_capture

from blending_nerf_ns.training.loss_record import read_losses
from blending_nerf_ns.training.team import Team

WORKER = """
import sys, warnings
import torch.distributed as dist
import tyro
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion
from nerfstudio.scripts.train import train_loop
from nerfstudio.utils import comms

rank, meeting, *arguments = sys.argv[1:]
dist.init_process_group("gloo", init_method=f"file://{meeting}", world_size=2, rank=int(rank))
comms.LOCAL_PROCESS_GROUP = dist.new_group(range(2))
config = tyro.cli(AnnotatedBaseConfigUnion, args=arguments)
config.pipeline.datamanager.data = config.data
train_loop(int(rank), 2, config, int(rank))
dist.barrier()  # a process that ends while the other still talks to it takes it along
dist.destroy_process_group()
"""


def run_both(code: str, folder: Path, name: str, *arguments: object) -> str:
    """Run two processes that meet at a file, so that no port is taken by another test. What both said.

    Args:
        code: is given rank, the file to meet at, and the arguments.
        folder: where they run.
        name: of their meeting.
        arguments: as for a shell.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "TERM": "dumb", "COLUMNS": "200"}
    command = [sys.executable, "-c", code]
    logs = [folder / f"{name}_{rank}.log" for rank in (0, 1)]
    with logs[0].open("w") as first, logs[1].open("w") as second:
        both = [
            subprocess.Popen(
                [*command, str(rank), str(folder.resolve() / name), *map(str, arguments)],
                cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )
            for rank, log in enumerate((first, second))
        ]  # fmt: skip
        try:
            codes = [process.wait(timeout=600) for process in both]
        finally:
            for process in both:
                process.kill()
    said = [log.read_text() for log in logs]
    assert codes == [0, 0], f"exit codes {codes}\n" + "\n".join(text[-4000:] for text in said)
    return "\n".join(said)


def train_together(folder: Path, name: str, *flags: object) -> str:
    """What `ns-train --machine.num-devices 2` would do, were its launcher not made for CUDA only."""
    texts = ("--pipeline.source-text", "a red ball", "--pipeline.target-text", "a blue ball")
    where = ("--data", "capture", "--output-dir", "out", "--experiment-name", "tiny", "--timestamp", name)
    return run_both(WORKER, folder, f"meeting_{name}", "blending-nerf-cpu", *where, *texts, *TINY_FLAGS, *flags)


def newest(folder: Path) -> dict[str, torch.Tensor]:
    path = max((folder / "nerfstudio_models").glob("*.ckpt"))
    return torch.load(path, weights_only=True)["pipeline"]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_twice_the_views(tmp_path: Path) -> None:
    """The same base, the same numbers of views: the same steps up to rounding, which Adam amplifies where gradients vanish."""
    write_tiny_capture(tmp_path / "capture")
    train(tmp_path, "base", "--pipeline.edit-steps", "0")
    base = ("--pipeline.base-run", run_of(tmp_path, "base") / "config.yml")
    train(tmp_path, "one", *base, "--pipeline.guidance.views-per-step", "2")
    train_together(tmp_path, "two", *base)
    curves = [read_losses(run_of(tmp_path, name)) for name in ("one", "two")]
    assert [line["step"] for line in curves[0]] == list(range(EDIT_STEPS))
    for mine, theirs in zip(*curves, strict=True):
        assert mine["blended"] == pytest.approx(theirs["blended"], abs=1e-4)
        assert mine["direction"] == pytest.approx(theirs["direction"], abs=1e-4)
    one, two = (newest(run_of(tmp_path, name)) for name in ("one", "two"))
    fields = [name for name in one if "_model.edit.field" in name and one[name].is_floating_point()]
    assert len(fields) > 5 and one.keys() == two.keys()
    for name in fields:
        away = (one[name] - two[name]).abs()
        assert float(away.mean()) <= 1e-4 and float(away.max()) <= 2e-2, name
    for name in (name for name in one if "_model.base." in name or "region" in name):
        assert torch.equal(one[name], two[name]), name


@pytest.mark.slow
def test_two_processes_train_a_base_as_well_and_one_writes(tmp_path: Path) -> None:
    write_tiny_capture(tmp_path / "capture")
    said = train_together(tmp_path, "both")
    assert said.count("What the guide likes best to start from") == 1, "what one decides is said once"
    steps = sorted(path.name for path in (run_of(tmp_path, "both") / "nerfstudio_models").iterdir())
    assert steps and not [name for name in steps if not name.endswith(".ckpt")]
    state = newest(run_of(tmp_path, "both"))
    assert state["progress"].tolist() == [BASE_STEPS, EDIT_STEPS] and bool(state["_model.edit_ready"])
    # the result is a run as any other, on one device
    run("ns-eval", "--load-config", run_of(tmp_path, "both") / "config.yml", "--output-path", "eval.json", cwd=tmp_path)


def test_alone_nothing_is_shared() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.full((3,), 2.0)
    team = Team()
    team.share_gradients([parameter])
    assert team.leads and torch.equal(parameter.grad, torch.full((3,), 2.0))
    assert team.mean({"loss": torch.tensor(3.0)}) == {"loss": torch.tensor(3.0)}
    assert team.take_from_leader({"a": 1}, torch.device("cpu")) == {"a": 1}


SHARING = """
import sys, time, torch
import torch.distributed as dist
from blending_nerf_ns.training.team import present_team

rank, meeting = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{meeting}", world_size=2, rank=rank)
team = present_team()
one, none = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(3))
one.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]]) * (1 + 2 * rank)
team.share_gradients([one, none])
assert one.grad.tolist() == [[2.0, 4.0], [6.0, 8.0]] and none.grad is None
assert team.mean({"a": torch.tensor(float(rank)), "b": torch.tensor(5.0)}) == {"a": torch.tensor(0.5), "b": torch.tensor(5.0)}
state = team.take_from_leader({"x": torch.full((2,), float(rank)), "note": f"of {rank}"}, torch.device("cpu"))
assert state["x"].tolist() == [0.0, 0.0] and state["note"] == "of 0"
assert (team.size, team.rank, team.leads) == (2, rank, rank == 0)
dist.barrier()
time.sleep(1.0)  # torch 2.6 hangs in destroying a group one of whose works is just being dropped by gloo's own thread
dist.destroy_process_group()
"""


def test_two_processes_share_means_and_the_leaders_state(tmp_path: Path) -> None:
    run_both(SHARING, tmp_path, "meeting")
