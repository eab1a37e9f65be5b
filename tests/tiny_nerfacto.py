"""What the tests of the base share: a capture, a nerfacto of a few thousand weights, rays, no downloads."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nerfstudio.cameras.rays import RayBundle
from PIL import Image

TINY: dict[str, Any] = {
    "hidden_dim": 16,
    "hidden_dim_color": 16,
    "num_levels": 4,
    "max_res": 64,
    "log2_hashmap_size": 10,
    "appearance_embed_dim": 4,
    "num_nerf_samples_per_ray": 8,
    "num_proposal_samples_per_ray": (16, 12),
    "eval_num_rays_per_chunk": 200,
    "implementation": "torch",
}
"""Options of a nerfacto model that trains and renders in milliseconds."""

TINY_PROPOSALS = [{"hidden_dim": 8, "log2_hashmap_size": 8, "num_levels": 2, "max_res": 32, "use_linear": False}]


def write_capture(folder: Path, images: int = 8, size: int = 24, radius: float = 3.0) -> Path:
    """A ring of cameras around a red disc on gray, in nerfstudio's format."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for index in range(images):
        angle = 2 * math.pi * index / images
        position = np.array([radius * math.cos(angle), radius * math.sin(angle), 1.0])
        back = position / np.linalg.norm(position)
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3] = np.stack([right, np.cross(back, right), back, position], axis=1)
        row, column = np.mgrid[0:size, 0:size]
        picture = np.full((size, size, 3), 180, np.uint8)
        picture[(row - size / 2) ** 2 + (column - size / 2) ** 2 < (size / 4) ** 2] = (200, 40, 10 * index)
        Image.fromarray(picture).save(folder / "images" / f"{index}.png")
        frames.append({"file_path": f"images/{index}.png", "transform_matrix": pose.tolist()})
    camera = {"fl_x": size, "fl_y": size, "cx": size / 2, "cy": size / 2, "w": size, "h": size}
    (folder / "transforms.json").write_text(json.dumps({"camera_model": "OPENCV", **camera, "frames": frames}))
    return folder


def write_blank_alexnet(torch_home: Path) -> None:
    """The file that LPIPS would download, with the right shapes and no content: for stock nerfacto, offline."""
    from torchvision.models import alexnet

    with torch.device("meta"):
        shapes = {key: value.shape for key, value in alexnet(weights=None).state_dict().items()}
    folder = torch_home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    blank = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}  # one number each on disk
    torch.save(blank, folder / "alexnet-owt-7be5be79.pth")


def rays(count: int, cameras: int = 5, seed: int = 0) -> RayBundle:
    """Rays from around the scene towards its middle."""
    generator = torch.Generator().manual_seed(seed)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1) * 1.5
    towards = 0.5 * torch.randn(count, 3, generator=generator) - origins
    return RayBundle(
        origins=origins,
        directions=torch.nn.functional.normalize(towards, dim=-1),
        pixel_area=torch.full((count, 1), 1e-4),
        camera_indices=torch.randint(cameras, (count, 1), generator=generator),
    )


def shake(model: torch.nn.Module, seed: int = 0) -> None:
    """Random weights that are far from nerfacto's nearly empty start: surfaces, colours, gaps."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
