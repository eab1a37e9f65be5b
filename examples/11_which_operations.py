"""Which operations suit which edit? All seven subsets of add, remove and change, on four kinds of prompts.

python examples/11_which_operations.py                    # 28 runs on the demo's scene; stop and start as you like
"""

import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parent))
from open_questions.asking import DIRECTION_AND_PRESERVATION, Asking, ask, draw_bars

from blending_nerf_ns.comparing.cases import EditCase, table_cells
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.scenes import DEMO_EDITS, demo_case
from blending_nerf_ns.edits.layer import OPERATIONS
from blending_nerf_ns.errors import in_one_line

SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(OPERATIONS, size)]
RESHAPE = EditCase("reshape", "a red ball", "a red cube")
PROMPTS = [RESHAPE, *(edit for edit in DEMO_EDITS if edit.name != "replace")]


@in_one_line()
def main(asking: Asking) -> None:
    """Run, print, draw."""
    edits = [
        replace(prompt, name=f"{prompt.name}-{'-'.join(subset)}", operations=subset)
        for prompt in PROMPTS
        for subset in SUBSETS
    ]
    results = ask(asking, "operations", table_cells([demo_case(edits)], [], choose_methods(["ours"]), asking.seeds))

    def label(result):
        prompt, _, subset = result["settings"]["edit"]["name"].partition("-")
        return prompt, subset.replace("-", " + ")

    draw_bars(results, label, DIRECTION_AND_PRESERVATION, asking.output / "operations.png")


if __name__ == "__main__":
    main(tyro.cli(Asking, description=__doc__, default=Asking(Path("outputs/questions/11"))))
