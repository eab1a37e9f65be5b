"""How do length and complexity of the target text matter? One to three attributes, one to three objects, and mere words.

python examples/12_how_long_a_text.py                      # 7 runs on the demo's scene
"""

import sys
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent))
from open_questions.asking import DIRECTION_AND_PRESERVATION, Asking, ask, draw_bars

from blending_nerf_ns.comparing.cases import EditCase, table_cells
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.scenes import demo_case
from blending_nerf_ns.errors import in_one_line

TARGETS = {
    "attributes-1": "a blue ball",
    "attributes-2": "a shiny blue ball",
    "attributes-3": "a small shiny blue ball",
    "objects-2": "a blue ball and a green cube",
    "objects-3": "a blue ball and a green cube and a yellow cone",
    "words-9": "a photo of a blue ball standing on the floor",
    "words-13": "a close up photo of a single blue ball lying on the floor there",
}
"""The source is "a red ball" for all; those of "words" say no more than the first."""


@in_one_line()
def main(asking: Asking) -> None:
    """Run, print, draw."""
    edits = [EditCase(name, "a red ball", target) for name, target in TARGETS.items()]
    results = ask(asking, "text", table_cells([demo_case(edits)], [], choose_methods(["ours"]), asking.seeds))
    draw_bars(
        results,
        lambda result: (result["settings"]["edit"]["name"], "ours"),
        DIRECTION_AND_PRESERVATION,
        asking.output / "text.png",
    )


if __name__ == "__main__":
    main(tyro.cli(Asking, description=__doc__, default=Asking(Path("outputs/questions/12"))))
