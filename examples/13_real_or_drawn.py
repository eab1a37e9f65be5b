"""Real captures against drawn ones: a recolour and a replacement by both methods, on the demo and on captures of yours.

    python examples/13_real_or_drawn.py --scenes examples/scenes/toy.json examples/scenes/mic.json \
        --data toy=DATA/toy mic=DATA/mic
"""

import sys
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent))
from open_questions.asking import DIRECTION_AND_PRESERVATION, Captures, ask, draw_bars

from blending_nerf_ns.comparing.cases import table_cells
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.scenes import DEMO, read_scenes
from blending_nerf_ns.errors import in_one_line


@in_one_line()
def main(asking: Captures) -> None:
    """Run, print, draw."""
    scenes = read_scenes([DEMO, *asking.scenes], asking.data)
    methods = choose_methods(["ours", "clip-nerf-finetune"])
    results = ask(asking, "real", table_cells(scenes, ["recolour", "replace"], methods, asking.seeds))

    def label(result):
        said = result["settings"]
        scene = f"{said['scene']} (development)" if said["development"] else said["scene"]
        return f"{scene}, {said['edit']['name']}", said["method"]

    draw_bars(results, label, DIRECTION_AND_PRESERVATION, asking.output / "real.png")


if __name__ == "__main__":
    main(tyro.cli(Captures, description=__doc__, default=Captures(Path("outputs/questions/13"))))
