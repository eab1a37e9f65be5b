"""A finished run, opened to be looked at: its frozen base and its training cameras."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

from blending_nerf_ns.bases.devices import check_device
from blending_nerf_ns.bases.loading import check_same_capture, load_base, read_base_run
from blending_nerf_ns.errors import BlendingNerfError
from blending_nerf_ns.localization.views import FrozenScene


def open_scene(run: Path, data: Optional[Path], device: str) -> Tuple[FrozenScene, List[Path]]:
    """Read a run of nerfacto or blending-nerf.

    Args:
        run: its config.yml or folder.
        data: the capture, if it is not where the run found it.
        device: where the base goes.

    Returns:
        The scene, and the training images' files.

    Raises:
        BlendingNerfError: no run, no capture, another capture than the run's, or no such device.
    """
    check_device(device, "--device", "choose cpu, cuda, cuda:1, ...")
    found = read_base_run(run)
    config = found.dataparser_config
    if data is not None:
        config.data = data
    if not Path(config.data).exists():
        said = "is not there" if data is not None else "is not there any more; say where it is with --data"
        raise BlendingNerfError(f"the run's capture {config.data} {said}")
    outputs = config.setup().get_dataparser_outputs(split="train")
    check_same_capture(found, outputs)
    base = load_base(found).to(device)
    return FrozenScene(base, outputs.cameras.to(device), base.config.eval_num_rays_per_chunk), list(
        outputs.image_filenames
    )
