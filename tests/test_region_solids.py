"""A region from an oriented box, and the contraction of space between scene and grid coordinates."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.field_components.spatial_distortions import SceneContraction
from tiny_run import region_from_box, tiny_model

from blending_nerf_ns.edits.contraction import uncontract
from blending_nerf_ns.edits.shape import RegionShape
from blending_nerf_ns.edits.solids import inside_box, rotation_matrix, sphere, voxel_positions
from blending_nerf_ns.encoding.contraction import contract
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.sources import Placed

CONTRACTED_SCENE = torch.full((3,), -2.0), torch.full((3,), 2.0)
CORE_ONLY = RegionShape(margin=0.0, soft_edge=0.0)


class TestBox:
    scene = torch.full((3,), -1.0), torch.full((3,), 1.0)

    def test_core_volume_and_place(self):
        region = region_from_box(
            (0.2, -0.1, 0.3), (0.4, 0.2, 0.3), grid_box=self.scene, contracted=False, shape=CORE_ONLY
        )
        voxel = float(region.voxel_size.prod())
        assert float(region.weight.sum()) * voxel == pytest.approx(0.4 * 0.2 * 0.3, rel=0.1)
        inside = torch.tensor([[0.2, -0.1, 0.3], [0.37, -0.03, 0.42], [0.03, -0.17, 0.18]])
        outside = torch.tensor([[0.42, -0.1, 0.3], [0.2, 0.02, 0.3], [0.2, -0.1, 0.47]])
        np.testing.assert_allclose(region.weight_at(inside), torch.ones(3), atol=1e-6, rtol=0)
        assert torch.equal(region.weight_at(outside), torch.zeros(3))

    @pytest.mark.filterwarnings("ignore:To copy construct")
    def test_euler_angles_are_those_of_nerfstudios_crop_box(self):
        centre, size, degrees = (0.1, -0.2, 0.05), (0.6, 0.3, 0.2), (20.0, -35.0, 50.0)
        roll, pitch, yaw = (math.radians(angle) for angle in degrees)
        crop = OrientedBox.from_params(centre, (roll, pitch, yaw), size)
        points = torch.rand(5000, 3) * 2 - 1
        ours = inside_box(points, torch.tensor(centre), torch.tensor(size), rotation_matrix(degrees))
        assert torch.equal(ours, crop.within(points))
        # and by hand: a quarter turn about z takes the x axis to y
        np.testing.assert_allclose(
            rotation_matrix((0, 0, 90)), torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), atol=1e-6, rtol=0
        )

    def test_margin_and_soft_edge_go_beyond_the_box(self):
        size, shape = (0.2, 0.2, 0.2), RegionShape(margin=0.2, soft_edge=0.2)
        region = region_from_box((0, 0, 0), size, grid_box=self.scene, contracted=False, shape=shape)
        length = 0.2 * math.sqrt(3) * 0.2
        at = torch.tensor([0.1 + 0.8 * length, 0.1 + 1.5 * length, 0.1 + 2.2 * length])
        weight = region.weight_at(torch.stack([at, 0 * at, 0 * at], -1))
        np.testing.assert_allclose(weight, torch.tensor([1.0, 0.5, 0.0]), atol=0.1, rtol=0)

    def test_there_is_room_to_move_the_margin_later(self):
        region = region_from_box((0, 0, 0), (0.4, 0.4, 0.4), grid_box=self.scene, contracted=False)
        before = float(region.weight.sum())
        region.reshape(margin=0.14)
        edges = torch.stack([region.weight[1], region.weight[-2], region.weight[:, 1], region.weight[:, :, -2]])
        assert float(region.weight.sum()) > before and not edges.any()

    def test_of_a_contracted_scene_it_is_a_box_of_uncontracted_space(self):
        centre, size, turn = (1.4, 0.3, 0.2), (1.6, 0.8, 0.5), (0.0, 0.0, 30.0)
        region = region_from_box(
            centre, size, turn, grid_box=CONTRACTED_SCENE, contracted=True, resolution=64, shape=CORE_ONLY
        )
        points = (torch.rand(20000, 3) - 0.5) * torch.tensor([4.0, 3.0, 2.0]) + torch.tensor(centre)
        rotation = rotation_matrix(turn)
        weight = region.weight_at(contract(points))
        # contracted, a voxel is larger far out, and interpolation carries its weight to its neighbours
        for scale, share in ((0.85, weight > 0.999), (1.2, weight > 0)):
            inside = inside_box(points, torch.tensor(centre), torch.tensor(size) * scale, rotation)
            assert (share[inside].float().mean() > 0.995) if scale < 1 else not share[~inside].any()

    def test_a_box_that_reaches_out_of_the_scene_is_cut_there(self):
        region = region_from_box((0.9, 0, 0), (0.6, 0.4, 0.4), grid_box=self.scene, contracted=False)
        assert float(region.upper[0]) == 1.0
        assert region.weight_at(torch.tensor([0.9, 0.0, 0.0])) == pytest.approx(1.0)
        assert region.weight_at(torch.tensor([1.05, 0.0, 0.0])) == 0

    @pytest.mark.parametrize("contracted", [False, True])
    def test_outside_the_scene(self, contracted):
        scene = CONTRACTED_SCENE if contracted else self.scene
        with pytest.raises(BlendingNerfError, match=r"\[50000\.0, 0\.0, 0\.0\].*lies outside the scene"):
            region_from_box((5e4, 0.0, 0.0), (0.5, 0.5, 0.5), grid_box=scene, contracted=contracted)

    @pytest.mark.parametrize("size", [(0.0, 1, 1), (1, -1, 1), (math.nan, 1, 1), (math.inf, 1, 1)])
    def test_sides_must_be_positive(self, size):
        with pytest.raises(BlendingNerfError, match="size must be positive"):
            region_from_box((0, 0, 0), size, grid_box=self.scene, contracted=False)

    def test_thinner_than_a_voxel(self):
        with pytest.raises(BlendingNerfError, match="make it thicker"):
            region_from_box((0, 0, 0.003), (1, 1, 0.0021), grid_box=self.scene, contracted=False, resolution=16)


class TestContraction:
    def test_it_is_nerfstudios(self):
        points = torch.randn(1000, 3) * torch.logspace(-1, 3, 1000)[:, None]
        assert torch.equal(contract(points), SceneContraction(order=float("inf"))(points))

    def test_by_hand(self):
        points = torch.tensor([[0.5, -0.2, 0.9], [2.0, 0.0, 1.0], [0.0, -4.0, 0.0], [0.0, 0.0, 0.0]])
        # (2, 0, 1): largest 2 -> 1.5, so times 0.75
        image = torch.tensor([[0.5, -0.2, 0.9], [1.5, 0.0, 0.75], [0.0, -1.75, 0.0], [0.0, 0.0, 0.0]])
        np.testing.assert_allclose(contract(points), image, rtol=1e-6)
        np.testing.assert_allclose(uncontract(image), points, rtol=1e-6)

    def test_inverse(self):
        points = torch.randn(1000, 3) * torch.logspace(-1, 2, 1000)[:, None]
        np.testing.assert_allclose(uncontract(contract(points)), points, rtol=1e-3, atol=1e-6)
        assert torch.isfinite(uncontract(torch.full((3,), 2.0))).all()


def test_a_solid_between_the_voxels_of_a_combinations_grid_is_told():
    base = tiny_model().base
    scene = SimpleNamespace(base=base)
    grid = (torch.tensor([-0.6] * 3), torch.tensor([0.6] * 3))

    def filled(x: float, radius: float):
        return Placed(scene, sphere((x, 0.003, 0.003), radius)).fill(grid, 96, 0.5).claimed  # type: ignore[arg-type]

    assert bool(filled(0.003, 0.02).any())
    with pytest.raises(BlendingNerfError, match=r"radius 0.005 holds no voxel of the region's grid.*make it larger"):
        filled(0.003, 0.005)
    assert not bool(filled(0.9, 0.02).any()), "the grid was cut down beside it"


def test_voxel_positions_are_cell_centres():
    positions = voxel_positions(torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1.0, 2.0, 3.0]), 10, contracted=False)
    np.testing.assert_allclose(positions[2, 4, 7], [0.75, 0.9, 0.75], rtol=1e-6)
