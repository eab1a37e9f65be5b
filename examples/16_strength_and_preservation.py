"""What does more of an edit cost? Each of the demo's edits from off to half as strong again as trained, each operation alone and all together.

    python examples/16_strength_and_preservation.py            # 4 runs on the demo's scene

What was trained for the table (`--work`) is not trained again.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Optional

import tyro
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parent))
from open_questions.asking import Asking, Result, ask

from blending_nerf_ns.comparing.cases import table_cells
from blending_nerf_ns.comparing.methods import choose_methods
from blending_nerf_ns.comparing.scenes import demo_case
from blending_nerf_ns.errors import in_one_line
from blending_nerf_ns.reporting.plots import draw_sweep

SWEPT = "--sweep-views 6"
DIRECTION, KEPT = "close_up_direction_similarity", "psnr_outside"


def number(value: Optional[float], digits: int) -> str:
    """A figure of a sweep; some edits have none, such as one whose texts a judge cannot tell apart."""
    return "–" if value is None else f"{value:.{digits}f}"


def table(results: list[Result]) -> str:
    """Direction on close-ups and PSNR outside at each strength, a row for each edit and operation."""
    strengths = results[0]["sweep"]["strengths"]
    lines = [
        f"| edit | operations | {' | '.join(f'{strength:g}' for strength in strengths)} |",
        f"| --- | --- | {' | '.join('---:' for _ in strengths)} |",
    ]
    for result in results:
        for name, points in result["sweep"]["curves"].items():
            cells = (f"{number(point[DIRECTION], 3)}, {number(point[KEPT], 1)} dB" for point in points)
            lines.append(f"| {result['settings']['edit']['name']} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: list[Result], path: Path) -> None:
    """A panel for each edit."""
    drawing = Figure(figsize=(3.6 * len(results), 3.6), layout="constrained")
    panels = drawing.subplots(1, len(results), squeeze=False)[0]
    for axes, result in zip(panels, results, strict=True):
        edit = result["settings"]["edit"]
        draw_sweep(axes, result["sweep"]["curves"], KEPT, DIRECTION)
        axes.set(title=edit["name"], xlabel="PSNR outside the mask (dB)")
        axes.legend(frameon=False, fontsize=7)
    panels[0].set_ylabel("CLIP direction similarity, close-ups")
    drawing.savefig(path, dpi=110)
    print(f"Written: {path}")


@in_one_line()
def main(asking: Asking) -> None:
    """Run, print, draw."""
    asking = replace(asking, evaluate_flags=f"{SWEPT} {asking.evaluate_flags}".strip())
    cells = table_cells([demo_case()], [], choose_methods(["ours"]), asking.seeds[:1])
    results = ask(asking, "strengths", cells)
    swept = table(results)
    print(swept)
    with (asking.output / "strengths.md").open("a") as file:
        file.write(f"\nDirection on close-ups and PSNR outside, by blend ratio:\n\n{swept}\n")
    draw(results, asking.output / "strengths.png")


if __name__ == "__main__":
    main(tyro.cli(Asking, description=__doc__, default=Asking(Path("outputs/questions/16"))))
