"""Scenes outside the usual ones: thin rods, and shiny and metallic finishes, beside the demo's plain ball.

python examples/15_unusual_scenes.py                       # 8 runs on four drawn scenes
"""

import sys
from dataclasses import replace
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent))
from open_questions.asking import DIRECTION_AND_PRESERVATION, Asking, ask, draw_bars

from blending_nerf_ns.comparing.cases import EditCase, table_cells
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.scenes import DEMO_EDITS, demo_case, drawn_case
from blending_nerf_ns.demo.capture import CaptureShape, demo_capture_scene
from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.procedural.scene import primitive

ROD = primitive("cylinder", "red", (0.85, 0.10, 0.10), (0.75, 0.65, 0.60), (0.06, 0.06, 0.60))
THIN = CaptureShape(smallest_share=0.004)
"""A rod covers little of a photo, from wherever it is seen."""


def edits(shape: str) -> list[EditCase]:
    """The same two edits of the first object, whatever it is."""
    return [
        EditCase("recolour", f"a red {shape}", f"a blue {shape}", ("change",)),
        EditCase("remove", f"a red {shape}", "an empty floor", ("remove",)),
    ]


@in_one_line()
def main(asking: Asking) -> None:
    """Run, print, draw."""
    plain = demo_capture_scene()
    ball, others = plain.things[0], plain.things[1:]
    scenes = [
        demo_case([edit for edit in DEMO_EDITS if edit.name == "recolour"] + [edits("ball")[1]]),
        drawn_case("rods", replace(plain, things=(ROD, *others)), 0, edits("cylinder"), THIN),
        *(
            drawn_case(finish, replace(plain, things=(replace(ball, finish=finish), *others)), 0, edits("ball"))
            for finish in ("shiny", "metallic")
        ),
    ]
    results = ask(asking, "unusual", table_cells(scenes, [], choose_methods(["ours"]), asking.seeds))

    def label(result):
        return result["settings"]["scene"], result["settings"]["edit"]["name"]

    draw_bars(results, label, DIRECTION_AND_PRESERVATION, asking.output / "unusual.png")


if __name__ == "__main__":
    main(tyro.cli(Asking, description=__doc__, default=Asking(Path("outputs/questions/15"))))
