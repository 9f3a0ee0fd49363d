"""A network that is too slow, before a clock that only its work and the camera move: what is shown stays young."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dblink_live.config import RunConfig, run_config_from_plain
from dblink_live.errors import ConfigError
from dblink_live.latency import Step
from dblink_live.models import LightNetwork, Model, StreamingEngine
from dblink_live.models.light import LightConfig
from dblink_live.pipeline.live_settings import check_live_settings
from dblink_live.pipeline.overload.degradation import FIRST_HOLD_S, Degradation, levels
from dblink_live.pipeline.overload.live_region import Box, RegionRequest
from dblink_live.pipeline.stages.items import SegmentEnd, SegmentStart
from dblink_live.pipeline.stages.reconstruct import ReconstructStage
from dblink_live.store import LiveStep
from dblink_live.types import Camera, Grid, LocalizationMap, Reconstruction, Segment, Shape

WINDOW_S = 0.1
LOOKAHEAD, HOP = 8, 4
BUDGET_S = (LOOKAHEAD + HOP) * WINDOW_S + 2.0
FIELD = Shape(256, 256)
SMALL = LightConfig(hidden=(2,), time_constants=(4.0,), head=(4, 4))


class Clock:
    """Nanoseconds that stand still unless somebody works."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> int:
        return round(self.now_s * 1e9)


class SlowNetwork(LightNetwork):
    """A network whose work takes simulated time: per window and direction, and per picture, by the number of pixels."""

    def __init__(self, clock: Clock, whole_field_s: float) -> None:
        super().__init__(SMALL)
        self.clock = clock
        self.s_per_pixel = whole_field_s / (FIELD.height * FIELD.width)
        self.eval()

    def scan(self, *arguments: Any, **named: Any) -> Any:
        features, state = super().scan(*arguments, **named)
        # About a sixth of a window's cost for each direction and window; the features are at half resolution.
        self.clock.now_s += self.s_per_pixel * 4 * state.h[0].shape[-1] * state.h[0].shape[-2] / 6
        return features, state

    def decode(self, forward_features: torch.Tensor, reverse_features: torch.Tensor) -> Any:
        height, width = forward_features.shape[-2:]
        self.clock.now_s += self.s_per_pixel * 4 * height * width / 2
        return super().decode(forward_features, reverse_features)


class Run:
    """Windows at a camera's pace through the stage, and what came of them."""

    def __init__(self, overload: float, region: str = "0,0,256,256", **live: Any) -> None:
        self.clock = Clock()
        plain = {"reconstruct": {"lookahead": LOOKAHEAD, "hop": HOP}, "live": {"region": region, **live}}
        self.config: RunConfig = run_config_from_plain(plain)
        self.network = SlowNetwork(self.clock, overload * WINDOW_S)
        self.out: list[Any] = []
        self.shown: list[tuple[Reconstruction, Grid]] = []
        self.stage = ReconstructStage(
            Model.untrained(self.network),
            self.config,
            is_live=True,
            provisional=False,
            store=self.out.append,
            show=lambda picture, grid: self.shown.append((picture, grid)),
            clock=self.clock,
        )
        self.grid = Grid.covering(FIELD, 40.0, 40.0)
        segment = Segment(0, FIELD, "uint16", frame_interval_ms=10.0)
        self.stage.handle(SegmentStart(segment, Camera(40.0), self.grid))
        self.started_s, self.n_windows = self.clock.now_s, 0

    def window(self, counts: np.ndarray | None = None) -> None:
        """Let the camera take a window, and the stage do what it does with it."""
        self.n_windows += 1
        arrived_s = self.started_s + self.n_windows * WINDOW_S
        self.clock.now_s = max(self.clock.now_s, arrived_s)
        self.stage.stage.waited_s = self.clock.now_s - arrived_s
        n = self.n_windows - 1
        counts = np.zeros(FIELD, np.uint16) if counts is None else counts
        self.stage.handle(LocalizationMap(0, n, 10 * n, 10 * n + 10, counts, self.grid, 0, round(arrived_s * 1e9)))

    def end(self) -> None:
        self.stage.handle(SegmentEnd(0))

    @property
    def pictures(self) -> list[Reconstruction]:
        return [item for item in self.out if isinstance(item, Reconstruction)]

    @property
    def steps(self) -> dict[int, LiveStep]:
        return {item.window: item for item in self.out if isinstance(item, LiveStep)}

    @property
    def behind_s(self) -> float:
        return self.clock.now_s - self.started_s - self.n_windows * WINDOW_S


@pytest.mark.parametrize("overload", [3.0, 20.0, 100.0])
def test_what_is_shown_is_never_older_than_the_budget_and_a_hop(overload: float) -> None:
    run = Run(overload)
    for _ in range(300):
        run.window()
    assert run.behind_s < 2.0  # it does not fall behind further and further
    n_live = len(run.pictures)
    latencies = [picture.latency_s for picture in run.pictures]
    assert n_live > 20
    assert np.quantile(latencies, 0.99) <= BUDGET_S + HOP * WINDOW_S
    assert max(picture.window for picture in run.pictures) > 280  # up to the end
    run.end()
    # Every window has its picture or says why not, and a picture of a part says of which part.
    made = {picture.window for picture in run.pictures}
    assert made | set(run.steps) == set(range(300))
    assert all(step.step == Step.JUMP.value or window in made or step.step for window, step in run.steps.items())
    assert {window for window, step in run.steps.items() if step.region is not None} <= made


def test_a_machine_that_keeps_up_gives_nothing_up() -> None:
    run = Run(0.5)
    for _ in range(60):
        run.window()
    run.end()
    assert [picture.window for picture in run.pictures] == list(range(60))
    assert run.steps == {}
    assert run.stage.stretches == []


def test_pictures_that_are_too_old_at_the_end_are_left_to_refine_as_well() -> None:
    run = Run(0.1)
    for _ in range(20):
        run.window()
    n_before = len(run.pictures)
    run.clock.now_s += 2.5  # the oldest window that waits is 0.4 to 1.2 s old by then
    run.end()
    assert all(picture.latency_s <= BUDGET_S for picture in run.pictures)
    made = {picture.window for picture in run.pictures}
    left_out = {window for window, step in run.steps.items() if step.step == Step.JUMP.value}
    assert made | left_out == set(range(20)) and not made & left_out
    assert n_before < len(made) < 20 and max(left_out) < 19 in made


def test_steps_come_in_their_order_and_are_taken_back_once_there_is_time() -> None:
    run = Run(12.0)
    seen: list[Step] = []

    def follow(n: int) -> None:
        for _ in range(n):
            run.window()
            if not seen or seen[-1] is not run.stage.step:
                seen.append(run.stage.step)

    follow(60)
    assert seen[:4] == [Step.WHOLE, Step.ONE_PER_HOP, Step.LARGER_HOP, Step.SMALLER_REGION]
    assert run.stage.region is not None and run.stage.region.n_pixels < FIELD.height * FIELD.width
    run.network.s_per_pixel /= 100  # whatever took the processor's time has ended
    seen.clear()
    follow(round(5 * FIRST_HOLD_S / WINDOW_S))
    assert seen[-1] is Step.WHOLE
    assert run.stage.region == Box.whole(FIELD)
    run.end()
    stretches = run.stage.stretches
    assert stretches and stretches[-1].to_window < run.n_windows - 1
    assert all(stretch.from_window <= stretch.to_window for stretch in stretches)


def test_a_step_that_has_to_be_taken_again_is_kept_longer() -> None:
    now_s = 0.0
    policy = Degradation(levels(4, False, 64), slack_s=2.0, clock_s=lambda: now_s)

    def overload() -> None:
        while policy.level.step is Step.WHOLE:
            policy.after_window(wait_s=2.5, busy_s=0.01, window_s=0.1)

    def seconds_until_taken_back() -> float:
        nonlocal now_s
        started_s = now_s
        while policy.level.step is not Step.WHOLE:
            now_s += 0.1
            policy.after_window(wait_s=0.0, busy_s=0.001, window_s=0.1)
        return now_s - started_s

    overload()
    first = seconds_until_taken_back()
    overload()
    assert seconds_until_taken_back() == pytest.approx(2 * first, abs=1.0)


def test_a_part_of_the_field_is_shown_where_it_lies_and_stored_in_its_place() -> None:
    run = Run(0.1, region="64,32,96,48")
    for _ in range(20):
        run.window()
    run.end()
    picture, grid = run.shown[0]
    assert picture.image.shape == (48, 96) == tuple(grid.shape)
    assert grid.origin_nm == (32 * 40.0, 64 * 40.0)
    stored = run.pictures[0].image
    assert stored.shape == tuple(FIELD)
    np.testing.assert_array_equal(stored[32:80, 64:160], picture.image)
    assert stored.sum() == pytest.approx(picture.image.sum(), rel=1e-5)
    assert {step.region for step in run.steps.values()} == {(64, 32, 96, 48)}
    assert run.stage.stretches == []  # nothing was given up: it was asked for


def test_the_densest_part_is_found_once_there_are_counts() -> None:
    counts = np.zeros(FIELD, np.uint16)
    counts[180:200, 20:40] = 5
    run = Run(0.1, region="densest")
    run.stage.ask_for_region(RegionRequest.parse("densest"))
    stage = ReconstructStage(
        Model.untrained(run.network), run.config, is_live=True, provisional=False, n_pixels_held=64 * 64,
        store=run.out.append, clock=run.clock,
    )  # fmt: skip
    run.stage = stage
    stage.handle(SegmentStart(Segment(0, FIELD, "uint16", frame_interval_ms=10.0), Camera(40.0), run.grid))
    for _ in range(30):
        run.window(counts)
    region = stage.region
    assert region is not None and (region.width, region.height) == (64, 64)
    assert region.x <= 20 and region.x + 64 >= 40 and region.y <= 180 and region.y + 64 >= 200
    # No window is lost where the region moves.
    assert [picture.window for picture in run.pictures] == list(range(run.pictures[-1].window + 1))


def test_the_region_moves_while_the_run_goes_on_and_no_window_is_lost() -> None:
    run = Run(0.1)
    for _ in range(20):
        run.window()
    run.stage.ask_for_region(RegionRequest.parse("0,0,64,64"))
    with pytest.raises(ConfigError, match="within the field of 256 x 256"):
        run.stage.ask_for_region(RegionRequest.parse("224,0,64,64"))
    for _ in range(20):
        run.window()
    run.end()
    assert [picture.window for picture in run.pictures] == list(range(40))
    assert run.stage.stretches == []
    assert {step.region for step in run.steps.values()} == {(0, 0, 64, 64)}


@pytest.mark.parametrize("lookahead", [0, 3])
def test_pictures_after_windows_that_were_forgone_are_the_same(lookahead: int) -> None:
    network = LightNetwork(SMALL).eval()
    counts = torch.from_numpy(np.random.default_rng(1).poisson(0.2, (24, 16, 20)).astype(np.float32))
    present = torch.ones(24)
    engine = StreamingEngine(network, lookahead, hop=2)
    all_pictures, state = engine.push(counts, present, engine.start(Shape(16, 20)))
    expected = {picture.window: picture.probability for picture in [*all_pictures, *engine.flush(state)]}
    few = StreamingEngine(network, lookahead, hop=2, newest_only=True)
    state = engine.start(Shape(16, 20))
    found = []
    for t in range(24):
        if t == 10:
            state = few.forgo(state, until=10)
            assert state.first_pending == 10
        pictures, state = few.push(counts[t : t + 1], present[t : t + 1], state)
        found += pictures
    assert [picture.window % 2 for picture in found] == [1] * len(found)
    assert found
    for picture in found:
        assert torch.equal(picture.probability, expected[picture.window])


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"latency_s": 1.2}, "live.latency_s above 1.2 s"),
        ({"latency_s": 0.5}, "found 0.5 s"),
        ({"region": "200,0,64,64"}, "within the field of 256 x 256"),
        ({"region": "0,0,0,64"}, "expected a live region"),
        ({"region": "middle"}, "centre, densest or auto"),
        ({"region": "-1,0,5,5"}, "expected a live region"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_starts(plain: dict[str, Any], message: str) -> None:
    config = run_config_from_plain({"live": plain, "reconstruct": {"lookahead": LOOKAHEAD, "hop": HOP}})
    with pytest.raises(ConfigError, match=message):
        check_live_settings(config, Segment(0, FIELD, "uint16", frame_interval_ms=10.0))
