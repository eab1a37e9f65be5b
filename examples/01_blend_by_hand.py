"""Blend a blue edit into a red original on one ray, and see what each strength does. No scene, no weights, no GPU.

python examples/01_blend_by_hand.py
"""

import torch

from blending_nerf_ns.rendering.blending import EditSamples, Strengths, blend
from blending_nerf_ns.rendering.compositing import composite_blend
from blending_nerf_ns.rendering.intervals import merge_intervals, take, take_nearest

# one ray: the base knows a red surface between t = 2 and 3; the edit lives between 1.5 and 2.5, on intervals of its own
base_edges = torch.tensor([[0.0, 2.0, 3.0, 4.0]])
base_density = torch.tensor([[0.0, 4.0, 0.0]])
base_rgb = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])
edit_edges = torch.tensor([[1.5, 2.0, 2.5]])
edit = EditSamples(
    density=torch.tensor([[0.5, 0.0]]),
    rgb=torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]),
    density_ratio=torch.tensor([[0.0, 0.6]]),
    color_ratio=torch.tensor([[0.0, 0.9]]),
    region=torch.ones(1, 2),
)

edges, (of_base, of_edit) = merge_intervals([base_edges, edit_edges])
on_merged = EditSamples(
    density=take(edit.density, of_edit),
    rgb=take_nearest(edit.rgb, of_edit),
    density_ratio=take(edit.density_ratio, of_edit),
    color_ratio=take(edit.color_ratio, of_edit),
    region=take(edit.region, of_edit),
)
print("add remove change    red  green blue    added changed  opacity")
for strengths in (Strengths(0, 0, 0), Strengths(1, 0, 0), Strengths(0, 1, 0), Strengths(0, 0, 1), Strengths()):
    blended = blend(take(base_density, of_base), take_nearest(base_rgb, of_base), on_merged, strengths)
    seen = composite_blend(blended, on_merged.rgb, edges, background=torch.ones(1, 3))
    color = " ".join(f"{value:.2f}" for value in seen.rgb[0].tolist())
    amounts = f"{float(seen.added):.2f}   {float(seen.changed):.2f}     {float(seen.accumulation):.2f}"
    print(f" {strengths.add:g}    {strengths.remove:g}      {strengths.change:g}      {color}    {amounts}")
