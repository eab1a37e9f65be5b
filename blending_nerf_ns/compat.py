"""What nerfstudio 1.1.5 needs to run today: one function per shim, each with its versions, its reason and its end.

`tests/test_compat.py` holds one test per shim that fails on the day the shim is no longer needed; delete both then.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer


def allow_nerfstudio_checkpoints() -> None:
    """Let `torch.load` read nerfstudio's checkpoints while `weights_only` stays on.

    Versions: nerfstudio 1.1.5 with torch >= 2.6.
    Why: torch 2.6 made `weights_only=True` the default, and nerfstudio's scheduler state holds numpy scalars, so every
    nerfstudio checkpoint is refused (nerfstudio#3683). numpy's scalar constructor and float dtype hold plain numbers
    and run no code of the file's, so they are allowed; everything else stays refused. numpy 1 and 2 write the
    constructor under different module names, hence once per name.
    Goes when: nerfstudio saves Python floats, or loads its own files by itself.

    Call it once before any checkpoint is loaded; calling it again changes nothing.
    """
    scalar: Any = np.float64(0.0).__reduce__()[0]  # numpy's constructor of a scalar, private under a name that moved
    torch.serialization.add_safe_globals(
        [
            (scalar, "numpy.core.multiarray.scalar"),  # written by numpy 1
            (scalar, "numpy._core.multiarray.scalar"),  # written by numpy 2
            (np.dtype, "numpy.dtype"),
            type(np.dtype(np.float64)),  # the class of dtype('float64'), whose state the file sets
        ]
    )


@contextmanager
def without_lpips() -> Iterator[None]:
    """Inside this context `NerfactoModel` builds no LPIPS network: no download, nothing in the module tree.

    Versions: nerfstudio 1.1.5 (any torchmetrics).
    Why: `NerfactoModel.populate_modules` builds torchmetrics' LPIPS whether or not it is ever used, which downloads
    AlexNet (offline, every ns-* command dies) and adds 10 MB to every checkpoint.
    Goes when: nerfstudio builds LPIPS on first use.

    The model's `lpips` becomes a function that returns NaN; whoever reports metrics leaves that one out.
    """
    from torchmetrics.image import lpip

    original = lpip.LearnedPerceptualImagePatchSimilarity
    _set(lpip, "LearnedPerceptualImagePatchSimilarity", lambda *_, **__: _absent_lpips)
    try:
        yield
    finally:
        _set(lpip, "LearnedPerceptualImagePatchSimilarity", original)


@contextmanager
def without_wandb() -> Iterator[None]:
    """Inside this context `import wandb` fails, unless it is imported already; see `import_open_clip`.

    Versions: timm 0.6.7, which nerfstudio 1.1.5 pins and open_clip imports.
    Why: timm's training helpers import wandb wherever it is installed, and nerfstudio installs it: two to three seconds of the
    start of every edit, for a logger that nobody asked for. timm goes on without it.
    Goes when: nerfstudio lets timm 0.9 in, or timm imports wandb on first use.
    """
    if "wandb" in sys.modules:
        yield
        return
    sys.modules["wandb"] = None  # type: ignore[assignment]  # Python's own way to say that there is no such module
    try:
        yield
    finally:
        del sys.modules["wandb"]


def import_open_clip() -> Any:
    """open_clip, whose first import takes wandb along where nobody keeps it from that."""
    with without_wandb():
        import open_clip
    return open_clip


def with_batch_encode_plus(tokenizer: Any) -> Any:
    """open_clip's tokenizer, of which those with files of their own on the hub (roberta, xlm-roberta, mt5, SigLIP's) can be called.

    Versions: open_clip 2.32 with transformers 5.
    Why: open_clip's `HFTokenizer` calls `batch_encode_plus`, which transformers 5 has no more: calling the tokenizer itself has done
    the same since transformers 3.
    Goes when: open_clip 3, which calls it itself, may be installed beside nerfstudio (it wants timm >= 1).
    """
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None and not hasattr(inner, "batch_encode_plus"):
        inner.batch_encode_plus = inner.__call__
    return tokenizer


def forgive_gone_clients(viewer: "Viewer") -> None:
    """Let nerfstudio's viewer move the camera of a page that has just been closed: nothing is rendered for it.

    Versions: nerfstudio 1.1.5 with viser 0.2.7.
    Why: a camera's last message may be handled when the page's render thread is gone. The KeyError leaves `ViserServer.atomic()`,
    which does not let go of its lock then: no page is told anything any more, and the process does not end. One page of a dozen
    that were closed while their camera moved did that.
    Goes when: nerfstudio asks whether the page is there, or viser releases the lock in a `finally`.
    """
    before = viewer.render_statemachines
    viewer.render_statemachines, known = _OfClients(before), set(before)
    for client in set(before) - known:  # a page that came between
        viewer.render_statemachines[client] = before[client]


class _OfClients(dict):
    """Render threads by page; what one that is gone is asked for is nobody's business."""

    def __missing__(self, client: int) -> Any:
        return SimpleNamespace(action=lambda _: None)


@contextmanager
def viewer_outlives_full_gpu(say: Callable[[str], None]) -> Iterator[None]:
    """In a thread of nerfstudio's viewer a picture that its GPU is too full for is left out, and said; elsewhere it is an error.

    Versions: nerfstudio 1.1.5.
    Why: any error but `IOChangeException` ends the thread, and its page stands still, without a word, until it is loaded again.
    Goes when: `RenderStateMachine.run` outlives what a picture raises.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        from nerfstudio.viewer.render_state_machine import RenderStateMachine
        from nerfstudio.viewer_legacy.server.viewer_utils import IOChangeException

        if not isinstance(threading.current_thread(), RenderStateMachine):
            raise
        say(f"no picture: {error}")
        raise IOChangeException from error


def _absent_lpips(*_: Any, **__: Any) -> float:
    return float("nan")


def _set(module: Any, name: str, value: Callable) -> None:
    setattr(module, name, value)
