"""The end of a viewer whose run ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nerfstudio.viewer.viewer import Viewer


def end_pictures(viewer: Viewer, seconds: float = 20.0) -> None:
    """Let the threads that render for its clients end, each within so many seconds.

    nerfstudio (1.1.5) leaves them to the interpreter, which ends threads in the middle of what they compute: torch's C++ takes
    that for an error and aborts the process, or it hangs, where the thread had a lock.
    """
    machines = list(viewer.render_statemachines.values())
    for machine in machines:
        machine.running = False
        machine.interrupt_render_flag = True
    for machine in machines:
        machine.join(seconds)
