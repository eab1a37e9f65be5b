"""How well is geometry preserved as the edit grows from a recolour to another shape?

python examples/14_geometry_as_edits_grow.py               # 10 runs on the demo's scene
"""

import sys
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent))
from open_questions.asking import Asking, ask, draw_points

from blending_nerf_ns.comparing.cases import EditCase, table_cells
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.scenes import demo_case
from blending_nerf_ns.comparing.table import COLUMNS
from blending_nerf_ns.errors import in_one_line

TARGETS = {
    "colour": "a blue ball",
    "finish": "a metallic blue ball",
    "coat": "a snowy blue ball",
    "shape": "a red cube",
    "shape-colour": "a yellow donut",
}
"""From "a red ball", the least change first; all operations are open to all of them."""
SHAPES = {
    "chamfer_inside": "Chamfer inside ↓",
    "chamfer_outside": "Chamfer outside ↓",
}


@in_one_line()
def main(asking: Asking) -> None:
    """Run, print, draw."""
    edits = [EditCase(name, "a red ball", target) for name, target in TARGETS.items()]
    methods = choose_methods(["ours", "clip-nerf-finetune"])
    cells = table_cells([demo_case(edits)], [], methods, asking.seeds)
    results = ask(asking, "geometry", cells, {**COLUMNS, **SHAPES})

    def label(result):
        return result["settings"]["edit"]["name"], result["settings"]["method"]

    figures = ("chamfer_outside", "close_up_direction_similarity")
    draw_points(results, label, figures, asking.output / "geometry.png")


if __name__ == "__main__":
    main(tyro.cli(Asking, description=__doc__, default=Asking(Path("outputs/questions/14"))))
