"""The hook for the user's own pycromanager script: every image arrives or is counted, and the acquisition never
notices."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from dblink_live_micromanager import LiveHook

from dblink_live.errors import SourceError
from dblink_live.sources.camera_process import CameraProcess
from dblink_live.sources.frame_producer import HostClock, StopSignal
from dblink_live.sources.micromanager.script import MARK, ScriptProducer, recipe
from dblink_live.sources.spec import parse_source
from dblink_live.types import Frame, FrameArray, Gap, GapCause, Segment

PATIENCE_S = 240.0  # only ever waited out by a failing test
SCRIPT = Path(__file__).with_name("hooked_script.py")


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.frames: list[tuple[int, int, FrameArray]] = []
        self.gaps: list[Gap] = []
        self.times: list[int] = []

    def write_segment(self, segment: Segment) -> None:
        self.segments.append(segment)

    def write_frame(self, segment: int, number: int, t_host_ns: int, data: FrameArray, n_saturated: int = 0) -> None:
        self.times.append(t_host_ns)
        self.frames.append((segment, number, data.copy()))

    def write_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)


@pytest.fixture
def feed() -> Iterator[ScriptProducer]:
    made = ScriptProducer(0)
    yield made
    made.close()


def image(number: int, shape: tuple[int, int] = (6, 8)) -> np.ndarray[Any, Any]:
    return np.full(shape, number, np.uint16)


def tags(number: int, **more: Any) -> dict[str, Any]:
    return {"Axes": {"time": number}, "Exposure": 10.0, "PixelSizeUm": 0.108, "BitDepth": 12, "Binning": "1", **more}


def until_connected(hook: LiveHook, metadata: dict[str, Any]) -> None:
    """Call the hook until somebody takes its image."""
    limit_s = time.perf_counter() + PATIENCE_S
    while not hook.n_sent:
        assert time.perf_counter() < limit_s, "waited in vain"
        hook(image(0), metadata)
        time.sleep(0.01)


def run(feed: ScriptProducer, kept: Kept) -> None:
    feed.run(kept, lambda: StopSignal.GO_ON)


def test_images_arrive_with_their_facts_and_the_script_keeps_its_own(feed: ScriptProducer) -> None:
    began_ns = time.perf_counter_ns()
    with LiveHook(feed.port) as hook:
        metadata = tags(0, ROI="4-2-8-6")
        until_connected(hook, metadata)
        first = hook.n_images - 1
        own = image(7)
        answer = hook(own, metadata)
        assert answer == (own, metadata)
        assert hook(image(8), metadata, "bridge", "queue")[0][0, 0] == 8
    plan = feed.prepare(HostClock.now())
    assert plan.segment.shape == (6, 8)
    assert (plan.segment.exposure_ms, plan.segment.pixel_size_nm) == (10.0, pytest.approx(108.0))
    assert (plan.segment.roi, plan.segment.bit_depth) == ((4, 2, 8, 6), 12)
    assert plan.fps == pytest.approx(100.0)
    kept = Kept()
    run(feed, kept)
    assert [(segment, number, int(data[0, 0])) for segment, number, data in kept.frames] == [
        (0, 0, 0),
        (0, 1, 7),
        (0, 2, 8),
    ]
    assert first + 3 == hook.n_images
    assert began_ns < kept.times[0] < kept.times[1] < kept.times[2] < time.perf_counter_ns()
    assert kept.gaps == []


def test_changes_begin_segments_and_other_channels_are_counted(feed: ScriptProducer) -> None:
    with LiveHook(feed.port, channel="red") as hook:
        red = {"Axes": {"time": 0, "channel": "red"}, "Exposure": 10.0, "PixelSizeUm": 0.0}
        until_connected(hook, red)
        hook(image(1), {**red, "Axes": {"time": 0, "channel": "green"}})
        hook(image(2), red)
        hook(image(3), {**red, "Exposure": 20.0})
        hook(image(4, (4, 4)), {**red, "Exposure": 20.0})
        hook(image(5), {**red, "Axes": {"channel": "green"}})
    assert feed.prepare(HostClock.now()).segment.pixel_size_nm is None
    kept = Kept()
    run(feed, kept)
    assert [(segment, number, int(data[0, 0])) for segment, number, data in kept.frames] == [
        (0, 0, 0), (0, 1, 2), (1, 0, 3), (2, 0, 4),
    ]  # fmt: skip
    assert [segment.reason for segment in kept.segments] == ["exposure", "roi"]
    assert [(gap.cause, gap.count) for gap in kept.gaps] == [(GapCause.DESELECTED, 1), (GapCause.DESELECTED, 1)]


def test_what_nobody_took_in_time_is_missing_in_the_numbers(feed: ScriptProducer) -> None:
    n_images = 2000
    with LiveHook(feed.port) as hook:
        until_connected(hook, tags(0))
        n_before = hook.n_images
        for number in range(n_images):
            hook(image(number % 60_000, (256, 256)), tags(number))
        n_total, n_sent = hook.n_images, hook.n_sent
        # Then the reader begins, and there is room again.
        feed.prepare(HostClock.now())
        kept = Kept()
        reader = threading.Thread(target=run, args=(feed, kept))
        reader.start()
        limit_s = time.perf_counter() + PATIENCE_S
        while hook.n_sent == n_sent:
            assert time.perf_counter() < limit_s
            hook(image(9, (256, 256)), tags(0))
            time.sleep(0.01)
        n_total = hook.n_images
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    assert n_sent < n_before + n_images
    missing = sum(gap.count or 0 for gap in kept.gaps if gap.cause is GapCause.RING)
    # The first image's number is where the hook began to be heard.
    assert len(kept.frames) == hook.n_sent
    assert len(kept.frames) + missing == n_total - (n_before - 1)


def test_pycromanager_counts_the_parameters_of_the_users_own_function() -> None:
    def two(image: Any, metadata: Any) -> Any:
        return image, metadata

    def three(image: Any, metadata: Any, event_queue: Any) -> Any:
        return event_queue

    for then, n_parameters in ((None, 2), (two, 2), (three, 3)):
        with LiveHook(1, then=then) as hook:
            assert len(inspect.signature(hook).parameters) == n_parameters
            arguments = (image(0), tags(0), "queue")[:n_parameters]
            assert hook(*arguments) == ("queue" if then is three else arguments)


def test_nobody_listening_costs_nothing_but_a_count() -> None:
    with LiveHook(1) as hook:
        for number in range(100):
            assert hook(image(number), tags(number))[0][0, 0] == number
        assert (hook.n_images, hook.n_sent, hook.failure) == (100, 0, None)


def test_a_mistake_in_the_hook_costs_no_image(feed: ScriptProducer, capsys: pytest.CaptureFixture[str]) -> None:
    with LiveHook(feed.port) as hook:
        metadata = {"Axes": {"time": {1}}, "Exposure": 1.0, "BitDepth": float("inf")}
        own = image(1)
        assert hook(own, metadata)[0] is own
        assert hook(own, metadata)[0] is own
    assert "images are no longer handed over" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        pytest.param([b"hello"], "plugins/micromanager", id="another program"),
        pytest.param([b"dblink-script-0", b"{}"], "plugins/micromanager", id="another version"),
        pytest.param([MARK, b"\xff"], "a message of the hook", id="no JSON"),
        pytest.param([MARK, b'{"kind": "image", "dtype": "float32", "shape": [2, 2]}', b"x" * 16], "grey", id="float"),
        pytest.param([MARK, b'{"kind": "image", "shape": [2, 2, 3]}', b"x" * 24], "grey", id="colour"),
        pytest.param([MARK, b'{"kind": "image", "shape": [2, 2]}', b"x" * 7], "8 bytes", id="cut"),
        pytest.param([MARK, b'{"kind": "image", "shape": [2, 2]}'], "found 0", id="no pixels"),
        pytest.param([MARK, b'{"kind": "image", "shape": [-2, -2]}', b"x" * 8], "bytes of an image", id="negative"),
    ],
)
def test_what_is_no_image_is_refused(feed: ScriptProducer, parts: list[bytes], named: str) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.connect(f"tcp://127.0.0.1:{feed.port}")
        socket.send_multipart(parts)
        with pytest.raises(SourceError, match=named):
            feed.prepare(HostClock.now())


def test_a_script_that_dies_is_noticed(feed: ScriptProducer) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.connect(f"tcp://127.0.0.1:{feed.port}")
    socket.send_multipart([MARK, b'{"kind": "image", "shape": [2, 2]}', b"x" * 8])
    feed.prepare(HostClock.now())
    context.destroy(linger=0)
    kept = Kept()
    with pytest.raises(SourceError, match="went away"):
        run(feed, kept)
    assert len(kept.frames) == 1


def test_a_script_that_never_comes_is_waited_for_and_named(feed: ScriptProducer) -> None:
    with pytest.raises(SourceError, match=r"none came within 0\.05 s.*image_process_fn"):
        feed.prepare(HostClock.now(), patience_s=0.05)
    with pytest.raises(SourceError, match="free port"):
        ScriptProducer(feed.port)


@pytest.mark.parametrize("kind", ["plain", "saved", "channels"])
def test_a_real_acquisition_is_seen_image_by_image(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("pycromanager", reason="the micromanager extra is not installed")
    with ScriptProducer(0) as probe:
        port = probe.port
    source = CameraProcess(recipe(parse_source(f"mm:script?port={port}")))
    command = [sys.executable, str(SCRIPT), str(port), str(tmp_path / "told.json")]
    command += ["--folder", str(tmp_path)] if kind == "saved" else ["--channels"] if kind == "channels" else []
    script = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        segment = source.open()
        events: list[Any] = []
        while not source.is_finished:
            events += source.read(16, timeout_s=1.0)
        output, _ = script.communicate(timeout=PATIENCE_S)
    finally:
        source.close()
        script.kill()
    assert script.returncode == 0, output
    told = json.loads((tmp_path / "told.json").read_text())
    frames = [event for event in events if isinstance(event, Frame)]
    assert told["failure"] is None
    # Images from before the connection stood are not ours; from the first one that arrived on, all are.
    assert [zlib.crc32(np.ascontiguousarray(frame.data)) for frame in frames] == told["seen"][-len(frames) :]
    assert [frame.number for frame in frames] == list(range(told["sent"]))
    assert len(frames) > 10
    assert segment.shape == (512, 512)
    assert told["stored"] == 60
    others = [event.count or 0 for event in events if isinstance(event, Gap) and event.cause is GapCause.DESELECTED]
    assert bool(others) == (kind == "channels")
