"""How long a person waits in the viewer: slider to picture, undo, and what a storm of slider events costs the training.

    python tests/bench/viewer_latency.py RUN/config.yml --source "a red ball" --target "a blue ball" --output latency.json

RUN is a finished run of a blending-nerf method, such as `make demo` leaves; with relative paths in its config.yml call this
from where it was trained. A real `ns-viewer` serves it, and then a real `ns-train` on its base; a client moves sliders by
viser's own messages and times the pictures that come back. Nothing in RUN is changed.

The first picture after a slider is nerfstudio's reduced one; the full one has 256 × 256 pixels.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' own helpers

from browser import running
from tiny_run import BIN
from viser_client import ViserClient, free_port

FULL = 256
SLIDER = "Blend ratio: change"
CAMERA = (0.1, 0.08, 0.5)
"""Above the objects of the demo, which lie below the middle of its cameras."""
EVENTS = 1000


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="config.yml of a finished run")
    parser.add_argument("--source", default="a red ball", help="prompt of the edit that is trained meanwhile")
    parser.add_argument("--target", default="a blue ball", help="what it becomes")
    parser.add_argument("--moves", type=int, default=20, help="of the slider; medians are printed")
    parser.add_argument("--undos", type=int, default=5, help="resets taken back")
    parser.add_argument("--window", type=float, default=20.0, help="seconds before, of and after the storm")
    parser.add_argument(
        "--threads", type=int, default=2, help="of torch's, in the servers; 1 where others compute, too"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    parser.add_argument(
        "--train-flags", nargs=argparse.REMAINDER, default=[], help="more flags for ns-train; come last"
    )
    args = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    for place, measured in (("ns-viewer", in_viewer(args)), ("ns-train", in_training(args))):
        for part in measured:  # minutes apart: said and written as they come
            figures.setdefault(place, {}).update(part)
            for name, value in part.items():
                print(f"{place:10} {name:48} {value:8.3f}", flush=True)
            if args.output:
                args.output.write_text(json.dumps(figures, indent=2) + "\n")


def in_viewer(args: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Slider to pictures where nothing trains."""
    port = free_port()
    address = ("--viewer.websocket-port", port, "--viewer.websocket-host", "127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "viewer.log"
        command = (BIN / "ns-viewer", "--load-config", args.config.resolve(), *address)
        with running(*command, cwd=Path.cwd(), log=log, port=port, threads=args.threads):
            client = visit(port)
            look(client)
            yield slider_to_pictures(client, args.moves)


def in_training(args: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Slider to first picture, the storm, and undo, of an edit in training on the same base."""
    port = free_port()
    address = ("--viewer.websocket-port", port, "--viewer.websocket-host", "127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        where = ("--output-dir", folder, "--pipeline.base-run", args.config.resolve())
        words = ("--pipeline.source-text", args.source, "--pipeline.target-text", args.target)
        steps = ("--pipeline.edit-steps", 100_000, "--steps-per-save", 100_000)
        capture = ("--data", capture_of(args.config))
        flags = (*where, *words, *steps, *capture, "--vis", "viewer", *address, *args.train_flags)
        command = (BIN / "ns-train", "blending-nerf-cpu", *flags)
        with running(*command, cwd=Path.cwd(), log=Path(folder) / "train.log", port=port, threads=args.threads):
            client = visit(port)
            wait(client, lambda: client.says("The edit is being trained") and step_of(client) > 10)
            yield {"training: steps per second, nobody looking": steps_per_second(client, args.window)}
            look(client)
            yield {"training: slider to first picture, s": slider_while_training(client, args.moves)}
            yield storm(client, args.window)
            client.click("Pause")
            wait(client, lambda: client.says("Waiting"))
            yield {f"paused: {name}": value for name, value in slider_to_pictures(client, args.moves).items()}
            yield undo(client, args.undos)


def capture_of(config: Path) -> Path:
    """Where a run's photos are."""
    import yaml  # runs code of the file's: it is the caller's own run

    return yaml.load(config.read_text(), Loader=yaml.Loader).pipeline.datamanager.data


def visit(port: int) -> ViserClient:
    """A client that does not look yet: viser makes no pictures for it, and takes no events from it."""
    client = ViserClient(port)
    wait(client, lambda: {SLIDER, "Max res"} <= set(client.elements))
    return client


def look(client: ViserClient) -> None:
    """Look at the scene at the size that is measured, and wait for a picture."""
    client.look(CAMERA)
    wait(client, lambda: client.pictures > 0)
    client.move("Max res", FULL)


def wait(client: ViserClient, until: Callable[[], bool], patience: float = 600.0) -> None:
    """Listen until something holds, or fail."""
    if not client.listen(until, patience):
        raise SystemExit(f"the server did not get there: {client.paragraphs}")


def rest(client: ViserClient) -> None:
    """Listen until the full picture is there and no other follows."""
    wait(client, lambda: max(client.size) == FULL)
    client.settle(quiet=1.5)


def picture_times(client: ViserClient, act: Callable[[], None]) -> tuple[float, float]:
    """Seconds from an act to the first picture, and to the first full one."""
    rest(client)
    seen, started = client.pictures, time.perf_counter()
    act()
    wait(client, lambda: client.pictures > seen)
    first = time.perf_counter() - started
    seen = client.pictures - 1
    wait(client, lambda: client.pictures > seen and max(client.size) == FULL)
    return first, time.perf_counter() - started


def slider_to_pictures(client: ViserClient, moves: int) -> dict[str, float]:
    """Medians over moves from one end of a slider to the other."""
    times = [picture_times(client, lambda i=i: client.move(SLIDER, float(i % 2))) for i in range(moves)]
    first, full = zip(*times, strict=True)
    return {
        "slider to first picture, s": statistics.median(first),
        "slider to first picture, slowest, s": max(first),
        "slider to full picture, s": statistics.median(full),
    }


def slider_while_training(client: ViserClient, moves: int) -> float:
    """Median to the first picture that shows what the slider says: others come meanwhile, for the steps that are made."""
    shown = []
    for end in (0.0, 1.0):
        client.move(SLIDER, end)
        wait(client, lambda seen=client.pictures: client.pictures > seen + 3)
        shown.append(client.picture(side=16))
    if float(((shown[0] - shown[1]) ** 2).sum()) < 1e-2:
        raise SystemExit(f"the edit does not show from {CAMERA}")
    times = []
    for i in range(moves):
        started = time.perf_counter()
        client.move(SLIDER, float(i % 2))

        def arrived(i: int = i) -> bool:
            away = [float(((client.picture(side=16) - end) ** 2).sum()) for end in shown]
            return away[i % 2] < away[1 - i % 2]

        wait(client, arrived)
        times.append(time.perf_counter() - started)
        client.listen(lambda: False, 1.0)
    return statistics.median(times)


def step_of(client: ViserClient) -> int:
    """The edit's step, as the status says it."""
    said = [re.search(r"Step (\d+) of", paragraph) for paragraph in client.paragraphs.values()]
    return next((int(found[1]) for found in said if found), -1)


def steps_per_second(client: ViserClient, seconds: float, events: int = 0) -> float:
    """Speed of the training over a while, from one change of the status to another, with slider events spread over it."""

    def next_step() -> tuple[int, float]:
        before = step_of(client)
        wait(client, lambda: step_of(client) != before)
        return step_of(client), time.perf_counter()

    first, began = next_step()
    for i in range(events):
        client.move(SLIDER, round((i + 1) / events, 4))
        client.listen(lambda until=began + (i + 1) * seconds / events: time.perf_counter() >= until)
    client.listen(lambda: time.perf_counter() >= began + seconds)
    last, ended = next_step()
    return (last - first) / (ended - began)


def storm(client: ViserClient, seconds: float) -> dict[str, float]:
    """Steps per second before, in and after a thousand events of one slider."""
    before = steps_per_second(client, seconds)
    within = steps_per_second(client, seconds, EVENTS)
    after = steps_per_second(client, seconds)
    return {
        "storm: steps per second before": before,
        f"storm: steps per second, {EVENTS} events in {seconds:.0f} s": within,
        "storm: steps per second after": after,
        "storm: slowdown": 1.0 - within / (0.5 * (before + after)),
    }


def undo(client: ViserClient, times: int) -> dict[str, float]:
    """From the click that takes a reset back to the status that says so, and to the pictures."""
    reached, pictures = step_of(client), []
    for _ in range(times):
        rest(client)
        client.click("Reset")
        wait(client, lambda: step_of(client) == 0)
        pictures.append(picture_times(client, lambda: client.click("Undo")))
        wait(client, lambda: step_of(client) == reached)
    states = []
    for _ in range(times):
        rest(client)
        client.click("Reset")
        wait(client, lambda: step_of(client) == 0)
        rest(client)
        started = time.perf_counter()
        client.click("Undo")
        wait(client, lambda: step_of(client) == reached)
        states.append(time.perf_counter() - started)
    first, full = zip(*pictures, strict=True)
    return {
        "undo to status, s": statistics.median(states),
        "undo to first picture, s": statistics.median(first),
        "undo to full picture, s": statistics.median(full),
    }


if __name__ == "__main__":
    main()
