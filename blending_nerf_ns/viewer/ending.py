"""The end of a viewer whose run ends."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer


def end_pictures(viewer: Viewer, seconds: float = 20.0) -> None:
    """Let the threads that render for a viewer's clients end, also those whose client is gone, within so many seconds.

    nerfstudio (1.1.5) leaves them to the interpreter, which ends threads in the middle of what they compute: torch's C++ takes
    that for an error and aborts the process, or it hangs, where the thread had a lock.
    """
    from nerfstudio.viewer.render_state_machine import RenderStateMachine

    machines = [one for one in threading.enumerate() if isinstance(one, RenderStateMachine) and one.viewer is viewer]
    for machine in machines:
        machine.running = False
        machine.interrupt_render_flag = True  # the picture that is on ends within a few lines
    deadline = time.monotonic() + seconds
    for machine in machines:
        machine.join(max(0.0, deadline - time.monotonic()))
