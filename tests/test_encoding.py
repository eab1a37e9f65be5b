"""The hash grid and the contraction, against nerfstudio's and by hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nerfstudio.field_components.encodings import HashEncoding
from nerfstudio.field_components.spatial_distortions import SceneContraction
from nerfstudio.utils.math import Gaussians
from torch import nn

from blending_nerf_ns.encoding.contraction import CubeContraction, contract, use_cube_contractions
from blending_nerf_ns.encoding.hash_grid import (
    BLOCK,
    Corners,
    FastHashEncoding,
    corners,
    fused_kernel,
    interpolate,
    use_fast_hash_grids,
)
from blending_nerf_ns.encoding.kernels import kernels


def grids(seed: int = 0, **changes) -> tuple[HashEncoding, FastHashEncoding]:
    """nerfstudio's and ours with the same table."""
    sizes = {"num_levels": 5, "min_res": 4, "max_res": 300, "log2_hashmap_size": 9, "features_per_level": 3}
    sizes = {**sizes, "implementation": "torch", **changes}
    torch.manual_seed(seed)
    theirs, ours = HashEncoding(**sizes), FastHashEncoding(**sizes)
    theirs.hash_table.data.normal_()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 4]), st.integers(1, 14), st.booleans())
def test_the_grid_is_nerfstudios(seed: int, features: int, bits: int, outside: bool) -> None:
    theirs, ours = grids(seed, features_per_level=features, log2_hashmap_size=bits)
    points = torch.rand(2, 17, 3) * (3 if outside else 1) - (1 if outside else 0)
    points[0, 0], points[0, 1] = 0.0, 1.0  # on the grid itself
    torch.testing.assert_close(ours(points), theirs(points), rtol=1e-5, atol=1e-5)


def test_no_points_have_no_features() -> None:
    """A chunk whose rays meet a region's box and none of its voxels asks for nothing."""
    theirs, ours = grids()
    for shape in ((0, 3), (4, 0, 3)):
        points = torch.zeros(shape)
        assert ours(points).shape == theirs(points).shape == (*shape[:-1], 15)
    ours(torch.zeros(0, 3)).sum().backward()
    assert ours.hash_table.grad is not None and not ours.hash_table.grad.any()


def test_the_grids_gradients_are_nerfstudios() -> None:
    theirs, ours = grids()
    points = torch.rand(40, 3)
    of_points = []
    for grid in (theirs, ours):
        there = points.clone().requires_grad_()
        grid(there).square().sum().backward()
        of_points.append(there.grad)
    torch.testing.assert_close(ours.hash_table.grad, theirs.hash_table.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(of_points[1], of_points[0], rtol=1e-4, atol=1e-3)  # up to 300 cells per unit


def test_blocks_of_points_are_as_good_as_all_at_once() -> None:
    theirs, ours = grids()
    points = torch.rand(2 * BLOCK + 5, 3)
    with torch.no_grad():
        found = ours(points)
    assert torch.equal(found, ours(points)) and torch.equal(found[-3:], ours(points[-3:]))
    for grid in (theirs, ours):
        grid(points).sin().sum().backward()
    torch.testing.assert_close(ours.hash_table.grad, theirs.hash_table.grad, rtol=1e-4, atol=1e-2)  # sums of thousands


def test_the_rows_gradient_is_the_derivative() -> None:
    table = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.tensor([[0, 1, 1], [5, 3, 0], [2, 2, 2], [4, 0, 1]], dtype=torch.int32)
    weights = torch.rand(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t, w: interpolate(t, Corners(rows[None], w[None])), (table, weights))


def test_corners_by_hand() -> None:
    """One level of 2 cells per unit and 16 rows: the corners of the cell from (0, 0, 0) to (1, 1, 1)."""
    found = corners(torch.tensor([[0.125, 0.25, 0.5]]), torch.tensor([2.0]), 16)
    y, z = 2654435761 % 16, 805459861 % 16
    z0, z1 = z, (2 * z) % 16  # 0.5 lies on the grid point 1 of z
    assert found.rows[0, 0].tolist() == [z0, z1, y ^ z0, y ^ z1, 1 ^ z0, 1 ^ z1, 1 ^ y ^ z0, 1 ^ y ^ z1]
    expected = [0.75 * 0.5, 0.0, 0.75 * 0.5, 0.0, 0.25 * 0.5, 0.0, 0.25 * 0.5, 0.0]
    torch.testing.assert_close(found.weights[0, 0], torch.tensor(expected))


def test_the_second_levels_rows_follow_the_firsts() -> None:
    found = corners(torch.rand(50, 3), torch.tensor([4.0, 9.0]), 32)
    assert int(found.rows[0].max()) < 32 <= int(found.rows[1].min()) and int(found.rows[1].max()) < 64
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(2, 50))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("learns", [True, False])
def test_points_of_other_precision_are_taken_as_nerfstudio_takes_them(dtype: torch.dtype, learns: bool) -> None:
    theirs, ours = grids()
    points = torch.rand(9, 3).to(dtype)
    with torch.set_grad_enabled(learns):
        torch.testing.assert_close(ours(points).double(), theirs(points).double(), rtol=1e-2, atol=2e-2)


def test_the_contraction_is_nerfstudios_bit_for_bit() -> None:
    points = torch.cat([torch.randn(500, 3) * scale for scale in (0.1, 1.0, 10.0, 1e4)])
    points[0] = 0.0
    assert torch.equal(contract(points), SceneContraction(order=float("inf"))(points))


def test_a_models_encodings_are_exchanged_with_their_parameters() -> None:
    theirs, ours = grids()
    model = nn.ModuleDict(
        {"grid": theirs, "again": theirs, "cube": SceneContraction(float("inf")), "ball": SceneContraction()}
    )
    points, names = torch.rand(9, 3), list(model.state_dict())
    use_fast_hash_grids(model)
    use_cube_contractions(model)
    assert type(model["grid"]) is FastHashEncoding and model["grid"] is model["again"]
    assert type(model["cube"]) is CubeContraction and type(model["ball"]) is SceneContraction
    assert list(model.state_dict()) == names and torch.equal(model["grid"](points), ours(points))


def test_a_contraction_of_gaussians_is_still_nerfstudios() -> None:
    gaussians = Gaussians(mean=torch.tensor([[3.0, 1.0, 0.5]]), cov=torch.eye(3)[None])
    theirs, ours = (kind(order=float("inf"))(gaussians) for kind in (SceneContraction, CubeContraction))
    assert torch.equal(ours.mean, theirs.mean) and torch.equal(ours.cov, theirs.cov)


INTERPRETED = """
import torch
from blending_nerf_ns.encoding.fused_hash_grid import fused_grid, try_out
from blending_nerf_ns.encoding.hash_grid import corners, interpolate
torch.manual_seed(0)
for features, bits, count in ((2, 9, 300), (3, 4, 17), (1, 14, 40), (4, 7, 513)):
    scalings, table = torch.tensor([4.0, 9.0, 33.0]), torch.randn(3 << bits, features, requires_grad=True)
    points = (3 * torch.rand(count, 3) - 1).requires_grad_()  # some of them outside
    gradient = torch.randn(count, 3 * features)
    found, expected = fused_grid(table, points, scalings), interpolate(table, corners(points, scalings, 1 << bits))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    of_both, wanted = (torch.autograd.grad((out * gradient).sum(), (table, points)) for out in (found, expected))
    of_table = torch.autograd.grad((fused_grid(table, points.detach(), scalings) * gradient).sum(), table)
    of_points = torch.autograd.grad((fused_grid(table.detach(), points, scalings) * gradient).sum(), points)
    for ours, plain in zip((*of_both, *of_table, *of_points), (*wanted, *wanted), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-3)
with torch.no_grad():
    try_out(torch.device("cpu"))
print("the same")
"""


NETWORKS_INTERPRETED = """
import torch
from blending_nerf_ns.encoding.fused_networks import fused_networks, try_out
torch.manual_seed(0)
for features, hidden, points, rays in ((24, 64, 200, 7), (12, 32, 65, 3), (32, 16, 1, 1), (20, 32, 0, 2)):
    sizes = ((hidden, features), (hidden,), (hidden, hidden), (hidden,), (3, hidden), (3,), (hidden, hidden), (3, hidden), (3,))
    weights = [torch.randn(size) / size[-1] ** 0.5 for size in sizes]
    first, first_bias, second, second_bias, shape, shape_bias, toward, last, last_bias = weights
    encoded, of, views = torch.randn(points, features), torch.randint(rays, (points,)), torch.randn(rays, hidden)
    hidden_values = ((encoded @ first.T + first_bias).relu() @ second.T + second_bias).relu()
    color = (hidden_values @ toward.T + views[of]).relu() @ last.T + last_bias
    found = fused_networks(encoded, of, views, weights)
    torch.testing.assert_close(found[0], hidden_values @ shape.T + shape_bias, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1], color, rtol=1e-5, atol=1e-5)
try_out(torch.device("cpu"))

from blending_nerf_ns.edits import networks
from blending_nerf_ns.edits.field import EditField, EditFieldConfig
from blending_nerf_ns.encoding import fused_networks
field = EditField(EditFieldConfig(num_levels=3, log2_hashmap_size=8)).requires_grad_(False)
for parameter in field.parameters():
    torch.nn.init.normal_(parameter, std=0.3)
field.open_levels.fill_(1.5)
points, rays = 2 * torch.rand(70, 3) - 1, torch.randint(5, (70,))
views = field.look_along(torch.nn.functional.normalize(torch.randn(5, 3), dim=-1))
with torch.no_grad():
    plain = field(points, views, rays), field(points, views[rays])
    networks.fused_kernel = lambda device: fused_networks  # as where it runs
    fused = field(points, views, rays), field(points, views[rays])
for values in zip(*plain, *fused, strict=True):
    for value in values[1:]:
        torch.testing.assert_close(value, values[0], rtol=1e-5, atol=1e-6)
assert float(plain[0].rgb.std()) > 0.01
print("the same")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="no Triton here: it ships with torch on Linux")
@pytest.mark.parametrize("program", [INTERPRETED, NETWORKS_INTERPRETED], ids=["hash grid", "networks"])
def test_kernels_are_the_plain_paths_by_tritons_interpreter(program: str) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "the same", done.stderr[-3000:]


def assembly(kernel: Any, given: dict[str, object], kinds: dict[str, str], options: dict[str, object]) -> str:
    """What Triton makes of a kernel for a GPU that is not here; arguments are floats in memory where nothing else is said."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    kinds = {name: "constexpr" if name in given else kinds.get(name, "*fp32") for name in kernel.arg_names}
    places: dict[Any, object] = {(kernel.arg_names.index(name),): value for name, value in given.items()}
    # beside torch 2.6: constants by name, and no part of the rest
    if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 3):
        kinds, places = {name: kind for name, kind in kinds.items() if name not in given}, given
    return compile(ASTSource(kernel, kinds, places), target=GPUTarget("cuda", 80, 32), options=options).asm["ptx"]


@pytest.mark.skipif(find_spec("triton") is None, reason="no Triton here: it ships with torch on Linux")
def test_the_hash_grids_kernels_compile_for_a_gpu_that_is_not_here() -> None:
    from blending_nerf_ns.encoding import fused_hash_grid

    def compiled(kernel: Any, flags: dict[str, object]) -> str:
        given = {"width": 2, "padded": 2, "block": fused_hash_grid.POINTS, **flags}
        kinds = {"count": "i32", "levels": "i32", "table_size": "i32"}
        return assembly(kernel, given, kinds, dict(fused_hash_grid.ROUNDED))

    assert "ld.global" in compiled(fused_hash_grid._forward, {})
    for learns, moves in ((True, False), (False, True), (True, True)):
        written = compiled(fused_hash_grid._backward, {"learns": learns, "moves": moves})
        assert re.search(r"(red|atom)\.global[\w.]*\.add", written), "gradients are added up where they lie"


@pytest.mark.skipif(find_spec("triton") is None, reason="no Triton here: it ships with torch on Linux")
def test_the_networks_kernel_compiles_to_tensor_cores() -> None:
    from blending_nerf_ns.encoding import fused_networks

    given = {
        "width": 24,
        "padded": 32,
        "hidden": 64,
        "precision": fused_networks.PRECISION,
        "block": fused_networks.POINTS,
    }
    written = assembly(fused_networks._forward, given, {"count": "i32", "rays": "*i64"}, {})
    assert re.search(r"mma\.sync[\w.]*\.tf32", written), "multiplied three times in tf32: float32's precision"


def test_a_cpu_has_no_kernel_and_a_kernel_that_fails_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fused_kernel(torch.device("cpu")) is None
    kernels.cache_clear()
    monkeypatch.setitem(sys.modules, "blending_nerf_ns.encoding.fused_hash_grid", None)  # as where there is no Triton
    with pytest.warns(UserWarning, match="slower plain path"):
        assert fused_kernel(torch.device("cuda", 0)) is None
    assert fused_kernel(torch.device("cuda", 0)) is None
    kernels.cache_clear()
