"""The rule by which an edit stops, by hand and on curves like those of a guide."""

from __future__ import annotations

import torch

from blending_nerf_ns.guidance.config import GuidanceConfig
from blending_nerf_ns.training.settling import NEVER, Settling, Watch, schedule_share, watch_step


def settled_after(gains: list[float], steps: int, **changes: object) -> int:
    """Steps after which the edit ends; the last gain goes on for ever."""
    settling = Settling(GuidanceConfig(**changes))  # type: ignore[arg-type]
    for done in range(1, steps + 1):
        settling.follow(done, steps, gains[min(done, len(gains)) - 1])
        if done >= settling.end(steps):
            break
    return settling.end(steps)


def test_the_gain_is_smoothed_and_a_little_more_is_not_better() -> None:
    watch = Watch()
    for gain, mean in ((4.0, 4.0), (2.0, 3.0)):  # a window of two steps: their mean, and no best before that
        watch = watch_step(watch, gain, patience=8)
        assert (watch.mean, watch.best, watch.since) == (mean, mean, 0)
    watch = watch_step(watch, 3.1, patience=8)  # 3 + 0.1 / 2, and less than 2 % above 3
    assert (round(watch.mean, 6), watch.best, watch.since) == (3.05, 3.0, 1)
    watch = watch_step(watch, 5.05, patience=8)
    assert (round(watch.mean, 6), watch.since) == (4.05, 0)


def test_the_rest_of_the_schedule_is_run_through_quickly() -> None:
    assert [schedule_share(step, 200, NEVER, 20) for step in (0, 50, 200, 300)] == [0.0, 0.25, 1.0, 1.0]
    # settled at half of it: the other half in twenty steps instead of a hundred
    assert [schedule_share(step, 200, 100, 20) for step in (50, 100, 110, 120, 130)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_an_edit_that_stands_still_stops_and_one_that_improves_does_not() -> None:
    # a fifth of 400 steps without a better gain, once half of them have opened all levels; then a tenth to cool down
    assert settled_after([0.2], 400) == 200 + 40
    rising = [0.001 * step for step in range(400)]
    assert settled_after(rising, 400) == 400
    # better until step 150: the smoothed gain is 2 % short of its end some steps later, and 80 are waited from there
    late = settled_after([min(step, 150) / 1000 for step in range(400)], 400)
    assert 150 + 80 + 40 < late < 150 + 80 + 40 + 60
    assert settled_after([0.2], 400, stop_when_settled=False) == 400
    # 70 steps until a first best, then 280 without a better one; with more patience it would be the end
    assert settled_after([0.2], 400, settle_patience=0.7, coarse_to_fine=0.0) == 70 + 280 + 40
    assert settled_after([0.2], 400, settle_patience=0.73, coarse_to_fine=0.0) == 400
    assert settled_after([0.2], 400, settle_patience=0.4, coarse_to_fine=0.0) == 40 + 160 + 40
    assert settled_after([0.2], 6) == 6, "too few steps to say"


def test_noise_neither_stops_an_edit_that_improves_nor_keeps_one_that_does_not() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = (0.05 * torch.randn(400, generator=generator)).tolist()
    assert settled_after([0.001 * step + noise[step] for step in range(400)], 400) == 400
    assert settled_after([0.2 + noise[step] for step in range(400)], 400) < 400


def test_where_there_is_nothing_to_learn_only_the_schedule_is_run_through() -> None:
    settling = Settling(GuidanceConfig())
    assert settling.settle(0, 400) and settling.end(400) == 40
    assert not settling.settle(7, 400) and settling.end(400) == 40, "it says so once"
    settling.restart()
    assert settling.end(400) == 400
    patient = Settling(GuidanceConfig(stop_when_settled=False))
    assert not patient.settle(0, 400) and patient.end(400) == 400


def test_what_it_knows_travels_with_a_checkpoint() -> None:
    settling = Settling(GuidanceConfig())
    for done in range(1, 230):
        settling.follow(done, 400, 0.2)
    again = Settling(GuidanceConfig())
    again.load_state_dict(settling.state_dict())
    assert again.watch == settling.watch and again.end(400) == 240
    again.restart()
    assert again.end(400) == 400 and again.share(100, 400) == 0.25
    older = again.made_up_for({"weight": 1}, "settling.")
    assert older["weight"] == 1 and torch.equal(older["settling._extra_state"], again.get_extra_state())
    kept = settling.state_dict(prefix="x.")
    assert again.made_up_for(kept, "x.")["x._extra_state"] is kept["x._extra_state"]


def test_what_has_settled_stays_done_when_it_may_have_more_steps() -> None:
    settling, resumed = Settling(GuidanceConfig()), Settling(GuidanceConfig())
    assert settling.settle(242, 400) and settling.end(400) == 282
    resumed.set_extra_state(settling.get_extra_state())
    assert resumed.end(2000) == 282 and resumed.share(282, 2000) == 1.0
    assert resumed.share(262, 2000) == settling.share(262, 400), "its schedule goes on as it was"
    assert resumed.end(270) == 270, "fewer are what was asked for"
    resumed.watch = resumed.watch._replace(of=0)
    assert resumed.end(2000) == 442, "of an older checkpoint nobody knows"
    resumed.restart()
    assert resumed.end(2000) == 2000
