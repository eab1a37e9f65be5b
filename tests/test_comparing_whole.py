"""The table, run whole once: bases, runs, evaluations and figures of ours, the baseline and two ablations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_run import run, write_tiny_capture

from blending_nerf_ns.comparing.cases import Cell, EditCase, SceneCase, Workplace, table_cells
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.results import training_fingerprint
from blending_nerf_ns.comparing.running import run_cells
from blending_nerf_ns.comparing.table import markdown
from blending_nerf_ns.training.loss_record import read_losses

BOX = {"source": "box", "box-size": "0.5 0.5 0.5"}
EDIT = EditCase("recolour", "a red ball", "a blue ball", ("change",), BOX, room="around")
TINY_BASE = (
    *("--pipeline.model.base.num-levels", "2", "--pipeline.model.base.max-res", "32", "--pipeline.base-steps", "12"),
    *("--pipeline.model.base.log2-hashmap-size", "10", "--pipeline.model.base.hidden-dim", "16"),
    *("--pipeline.model.base.hidden-dim-color", "16", "--pipeline.model.base.num-nerf-samples-per-ray", "8"),
    *("--pipeline.model.base.num-proposal-samples-per-ray", "16"),
    *("--pipeline.datamanager.train-num-rays-per-batch", "64"),
)
TINY_EDIT = (
    *("--pipeline.edit-steps", "6"),
    *("--pipeline.guidance.views", "2", "--pipeline.guidance.image-size", "24", "--pipeline.guidance.crops", "2"),
    *("--steps-per-save", "3"),
)


@dataclass(frozen=True)
class TinyTable:
    """A table that was run once."""

    folder: Path
    cells: list[Cell]
    place: Workplace
    results: list[Any]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> TinyTable:
    """Ours, the baseline and an ablation, from photos to figures."""
    folder = tmp_path_factory.mktemp("compared")
    capture = write_tiny_capture(folder / "capture")
    scene = SceneCase("demo", (EDIT,), capture, masks=("demo",))
    place = Workplace(
        folder / "work",
        folder / "results",
        train_flags=TINY_EDIT,
        base_flags=TINY_BASE,
        evaluate_flags=("--num-views", "2", "--image-size", "32", "--mask-dilation", "1", "--shown-views", "1"),
    )
    chosen = choose_methods(["ours", "clip-nerf-finetune", "no-base-freezing", "no-region", "retouched"])
    cells = table_cells([scene], [], chosen, [0])
    results, failures = run_cells(cells, place)
    assert failures == {}
    return TinyTable(folder, cells, place, list(results))


@pytest.mark.slow
def test_all_methods_stand_in_one_table(table: TinyTable) -> None:
    for result in table.results:
        assert result["metrics"]["clip_direction_similarity"] is not None
        assert result["metrics"]["close_up_r_precision"] is not None
        assert str(table.folder) not in json.dumps(result)
    ours, baseline, unfrozen, everywhere, painted = table.results
    assert ours["views"] == baseline["views"] and ours["metrics"]["added_inside"] is not None
    assert "no region of its own" in baseline["left_out"]["own_region_psnr_outside"]
    assert "does not tell" in baseline["left_out"]["added_inside"] and baseline["doing_nothing"]["psnr"] == 99.0
    # the base's rays outside are its own, up to the rounding of another chunk
    assert ours["metrics"]["own_region_psnr_outside"] > 80 > unfrozen["metrics"]["own_region_psnr_outside"]
    assert markdown(table.results).count("| demo |") == 5
    assert everywhere["metrics"]["psnr_outside"] < ours["metrics"]["psnr_outside"], "it may act everywhere, and does"
    assert painted["views"] == ours["views"] and painted["guide"] is None and not painted["seconds"]
    assert painted["metrics"]["psnr_outside"] == 99.0 > painted["metrics"]["psnr"] + 20
    assert painted["metrics"]["close_up_direction_similarity"] > everywhere["metrics"]["close_up_direction_similarity"]
    with Image.open(table.place.work / "retouched" / f"{table.cells[-1].key}.png") as sheet:
        before, after = (np.asarray(sheet)[28:, x : x + 144].astype(float) for x in (52, 200))
    was, is_now = ((one[..., 2] - one[..., 0]).max() for one in (before, after))
    assert is_now > was + 40, "where the ball was, something is blue"


@pytest.mark.slow
def test_a_finished_table_runs_nothing_again(table: TinyTable) -> None:
    def logs() -> dict[str, int]:
        return {file.name: file.stat().st_size for file in (table.place.work / "logs").iterdir()}

    before = logs()
    assert len(before) == 6, "one base, four runs, and what is painted"
    assert run_cells(table.cells, table.place) == (table.results, {}) and logs() == before


@pytest.mark.slow
def test_a_fine_tuned_run_renders_and_evaluates_as_any_other(table: TinyTable) -> None:
    name = f"seed0-{training_fingerprint(table.cells[1], table.place)}.0"
    found = table.folder / "work" / "runs" / table.cells[1].experiment / "clip-nerf-finetune-cpu" / name
    config = ("--load-config", found / "config.yml")
    outputs = ("--rendered-output-names", "rgb", "original", "--image-format", "png", "--split", "test")
    run("ns-render", "dataset", *config, "--output-path", table.folder / "renders", *outputs, cwd=table.folder)
    for name in ("rgb", "original"):
        assert len(list((table.folder / "renders" / "test" / name).iterdir())) == 3
    run("ns-eval", *config, "--output-path", table.folder / "eval.json", cwd=table.folder)
    said = json.loads((table.folder / "eval.json").read_text())["results"]
    assert {"psnr", "ssim", "edit_psnr", "edit_ssim"} <= set(said) and said["edit_psnr"] < 99
    assert -1 <= said["edit_direction_similarity"] <= 1 and said["edit_direction_similarity"] != 0, "by the judge"


@pytest.mark.slow
def test_a_fine_tuned_run_trains_its_own_base_and_resumes(tmp_path: Path) -> None:
    write_tiny_capture(tmp_path / "capture")
    source, target = ("--pipeline.source-text", "a red ball"), ("--pipeline.target-text", "a blue ball")
    where = ("--data", "capture", "--output-dir", "out", "--experiment-name", "tiny", "--vis", "tensorboard")
    usual = (*source, *where, "--viewer.quit-on-train-completion", "True", *TINY_BASE, *TINY_EDIT)
    flags = (*target, *usual)
    runs = tmp_path / "out" / "tiny" / "clip-nerf-finetune-cpu"
    run("ns-train", "clip-nerf-finetune-cpu", *flags, "--timestamp", "half", "--max-num-iterations", 15, cwd=tmp_path)
    assert [line["step"] for line in read_losses(runs / "half")] == [0, 1, 2]
    assert set(json.loads((runs / "half" / "stages.json").read_text())) == {"base_seconds", "edit_seconds"}
    resumed = ("--timestamp", "whole", "--load-dir", runs / "half" / "nerfstudio_models")
    run("ns-train", "clip-nerf-finetune-cpu", *flags, *resumed, cwd=tmp_path)
    assert [line["step"] for line in read_losses(runs / "whole")] == list(range(6))
    assert set(json.loads((runs / "whole" / "stages.json").read_text())) == {"edit_seconds"}, "done, as it ends"
    assert {"blended", "direction", "proposal", "similarity"} <= set(read_losses(runs / "whole")[0])

    resumed = ("--timestamp", "other", "--load-dir", runs / "whole" / "nerfstudio_models")
    other = ("--pipeline.target-text", "a green ball", *usual, *resumed)
    done = run("ns-train", "clip-nerf-finetune-cpu", *other, cwd=tmp_path, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "fine-tuned from 'a red ball' to 'a blue ball' already; begin a new run for 'a red ball' and" in done.stderr
    assert not (runs / "other" / "losses.jsonl").exists(), "what it would have gone on from is not taken over"
    file = max((runs / "whole" / "nerfstudio_models").glob("*.ckpt"))
    by_name = (*usual, "--timestamp", "named", "--load-checkpoint", file)
    done = run(
        "ns-train",
        "clip-nerf-finetune-cpu",
        "--pipeline.target-text",
        "a green ball",
        *by_name,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1 and "fine-tuned from 'a red ball' to 'a blue ball' already" in done.stderr
