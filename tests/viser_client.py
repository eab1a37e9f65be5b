"""A client of nerfstudio's viewer that speaks viser 0.2.7's own messages: what a browser does, without one."""

from __future__ import annotations

import io
import socket
import time
from typing import Any, Callable, cast

import msgspec
import numpy as np
from PIL import Image
from websockets.sync.client import connect


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class ViserClient:
    """Connects, collects GUI elements by label and the background picture, and moves elements.

    Args:
        port: of the viewer.
        patience: seconds to wait for the server.
    """

    def __init__(self, port: int, patience: float = 120.0) -> None:
        self.elements: dict[str, dict[str, Any]] = {}
        """GUI elements by label, with their properties."""
        self.paragraphs: dict[str, str] = {}
        """Markdown by id."""
        self.pictures = 0
        """Background pictures received."""
        self._picture: bytes = b""
        deadline = time.monotonic() + patience
        while True:
            try:
                self._socket = connect(f"ws://127.0.0.1:{port}", max_size=None, compression=None)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def send(self, kind: str, **fields: Any) -> None:
        """Send one viser message."""
        self._socket.send(msgspec.msgpack.encode({"type": kind, **fields}))

    def look(self, position: tuple[float, float, float]) -> None:
        """Put the camera somewhere in nerfstudio's scene and aim it at the middle (viser scales the scene by 10)."""
        from viser.transforms import SO3

        place = 10.0 * np.array(position)
        forward = -place / np.linalg.norm(place)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward], axis=1)  # OpenCV: x right, y down, z forward
        self.send(
            "ViewerCameraMessage",
            wxyz=SO3.from_matrix(rotation).wxyz.tolist(),
            position=place.tolist(),
            fov=0.8,
            aspect=1.0,
            look_at=[0.0, 0.0, 0.0],
            up_direction=[0.0, 0.0, 1.0],
        )

    def move(self, label: str, value: Any) -> None:
        """Set the value of an element, as dragging a slider or typing does."""
        self.send("GuiUpdateMessage", id=self.elements[label]["id"], updates={"value": value})

    def click(self, label: str) -> None:
        """Press a button."""
        self.move(label, True)

    def says(self, text: str) -> bool:
        """Whether some paragraph of the panel holds a text."""
        return any(text in paragraph for paragraph in self.paragraphs.values())

    def listen(self, until: Callable[[], bool], patience: float = 60.0) -> bool:
        """Receive until something holds; whether it came to hold in time."""
        deadline = time.monotonic() + patience
        while not until() and time.monotonic() < deadline:
            try:
                received = msgspec.msgpack.decode(cast(bytes, self._socket.recv(timeout=0.5)))
            except TimeoutError:
                continue
            for message in received if isinstance(received, list) else [received]:
                self._take(message)
        return until()

    def settle(self, quiet: float = 8.0, patience: float = 120.0) -> np.ndarray:
        """The picture once no new one has come for a while, so that it has its full resolution."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            seen = self.pictures
            if not self.listen(lambda seen=seen: self.pictures > seen, quiet) and self.pictures:
                break
        return self.picture()

    def picture(self, side: int | None = None) -> np.ndarray:
        """The last picture, (H, W, 3) in 0..1; with a side shrunk to it, so that reduced and full ones can be compared."""
        picture = Image.open(io.BytesIO(self._picture)).convert("RGB")
        picture = picture if side is None else picture.resize((side, side), Image.Resampling.BOX)
        return np.asarray(picture, dtype=float) / 255.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the last picture; (0, 0) before the first."""
        return Image.open(io.BytesIO(self._picture)).size if self._picture else (0, 0)

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("type") == "BackgroundImageMessage":
            self._picture, self.pictures = bytes(message["rgb_bytes"]), self.pictures + 1
        elif "label" in message and "id" in message:
            self.elements[message["label"]] = message
        elif message.get("type") == "GuiAddMarkdownMessage" or "markdown" in message:
            self.paragraphs[message["id"]] = message["markdown"]
        elif message.get("type") == "GuiUpdateMessage":
            if "markdown" in message["updates"]:
                self.paragraphs[message["id"]] = message["updates"]["markdown"]
            for element in self.elements.values():
                if element["id"] == message["id"]:
                    element.update(message["updates"])
