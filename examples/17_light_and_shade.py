"""What does keeping light and shade cost a recolour, and what is lost without it? Ours with and without that loss, a perfect
recolour of what is drawn, and one seed of the baseline.

    python examples/17_light_and_shade.py                      # 7 runs on the demo's scene
    python examples/17_light_and_shade.py --scenes examples/scenes/toy.json examples/scenes/mic.json \
        --data toy=DATA/toy mic=DATA/mic
"""

import sys
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent))
from open_questions.asking import Captures, ask, draw_bars

from blending_nerf_ns.comparing.cases import table_cells
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.scenes import DEMO, read_scenes
from blending_nerf_ns.errors import in_one_line

FIGURES = {"close_up_direction_similarity": "direction, close-ups", "shading_correlation": "light and shade"}
COLUMNS = {
    "close_up_direction_similarity": "direction, close-ups ↑",
    "shading_correlation": "light and shade ↑",
    "close_up_r_precision": "R-precision, close-ups ↑",
    "psnr_outside": "PSNR outside, dB ↑",
}


@in_one_line()
def main(asking: Captures) -> None:
    """Run, print, draw."""
    scenes = read_scenes([DEMO, *asking.scenes], asking.data)
    methods, slow = choose_methods(["ours", "no-shading-loss", "drawn-anew"]), choose_methods(["clip-nerf-finetune"])
    cells = table_cells(scenes, ["recolour"], methods, asking.seeds)
    cells += table_cells(scenes, ["recolour"], slow, asking.seeds[:1])
    results = ask(asking, "shade", cells, COLUMNS)

    def label(result):
        said = result["settings"]
        return f"{said['scene']} (development)" if said["development"] else said["scene"], said["method"]

    draw_bars(results, label, FIGURES, asking.output / "shade.png")


if __name__ == "__main__":
    usual = Captures(Path("outputs/questions/17"), seeds=(0, 1, 2))
    main(tyro.cli(Captures, description=__doc__, default=usual))
