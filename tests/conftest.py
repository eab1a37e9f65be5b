"""What several files share, and the order of the files: those that take long are begun first, or one process would end minutes after the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from blending_nerf_ns.pipeline import BlendingPipeline

settings.register_profile("untimed", deadline=None)  # these machines are busy
settings.load_profile("untimed")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny capture on disk."""
    from tiny_run import write_tiny_capture

    return write_tiny_capture(tmp_path_factory.mktemp("tiny") / "capture")


@pytest.fixture
def done(capture: Path) -> BlendingPipeline:
    """An edit of it that is done, see `done_pipeline`."""
    from open_run import done_pipeline

    return done_pipeline(capture)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first; within a file nothing moves."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
