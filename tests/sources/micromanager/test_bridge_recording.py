"""A bridge that was recorded answers as the recorded one did: to the same client, without any Micro-Manager."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("pycromanager", reason="needs the extra 'micromanager'")

import zmq
from bridge_client import RunningMicroManager

from dblink_live.errors import SourceError
from dblink_live.sources.micromanager.bridge_recording import Exchange, read_recording

ASK = """
import json, os, sys
from pathlib import Path
from dblink_live.sources.frame_producer import HostClock
from dblink_live.sources.micromanager.core_adapter import CameraCore
from dblink_live.sources.segments import segment_of
from dblink_live.sources.micromanager import bridge
from dblink_live.sources.micromanager.bridge_recording import record_bridge
port, path = int(sys.argv[1]), sys.argv[2]
if path:
    segment, image = record_bridge(port, Path(path)), None
else:
    core = CameraCore(bridge.connect(port))
    segment, image = segment_of(core, HostClock.now()), core.peek(0)
print(json.dumps([segment.shape, segment.exposure_ms, segment.roi, image and int(image.data.sum())]), flush=True)
os._exit(0)
"""
"""A client's threads outlive its work: each asks from a process of its own."""


def _ask(port: int, path: Path | None = None) -> list[object]:
    command = [sys.executable, "-c", ASK, str(port), str(path or "")]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _record_with_doctor(port: int, path: Path) -> dict[str, object]:
    """By the command that users are told."""
    command = ["-m", "dblink_live", "doctor", "--record-bridge", str(path), "--port", str(port), "--json"]
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout)


def replay(exchanges: list[Exchange]) -> int:
    """Answer each request as it was answered when it was recorded; the port."""
    socket = zmq.Context.instance().socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    known = {json.dumps(_asked(exchange.request), sort_keys=True): exchange for exchange in exchanges}

    def serve() -> None:
        while True:
            request = json.loads(socket.recv_multipart()[0].decode("iso-8859-1"))
            found = known.get(json.dumps(_asked(request), sort_keys=True))
            reply = found.reply if found else {"type": "exception", "value": f"not recorded: {request}"}
            parts = [
                part
                for code, content in (found.arrays if found else [])
                for part in (code.to_bytes(4, sys.byteorder), content)
            ]
            socket.send_multipart([json.dumps(reply).encode("iso-8859-1"), *parts])

    threading.Thread(target=serve, daemon=True).start()
    return int(port)


def _asked(request: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in request.items() if key != "debug"}


def test_a_recording_answers_like_what_was_recorded(tmp_path: Path) -> None:
    running = RunningMicroManager()
    try:
        running.do("setROI", 3, 4, 40, 30)
        running.do("setExposure", 12.5)
        running.do("startSequenceAcquisition", 2, 0, True)
        while running.do("isSequenceRunning"):
            pass
        recorded = _ask(running.port, tmp_path / "scope.json")
        by_command = _record_with_doctor(running.port, tmp_path / "by_command.json")
        asked = _ask(running.port)
    finally:
        running.kill()
    exchanges = read_recording(tmp_path / "scope.json")
    assert _ask(replay(exchanges)) == asked
    assert recorded[:3] == asked[:3] == [[30, 40], 12.5, [3, 4, 40, 30]]
    assert by_command["shape"] == [30, 40]
    assert _ask(replay(read_recording(tmp_path / "by_command.json"))) == asked
    # Only questions: no method that sets, snaps, starts or takes out anything.
    methods = {exchange.request["name"] for exchange in exchanges if exchange.request["command"] == "run-method"}
    assert all(name.startswith(("get", "is")) for name in methods)


def test_what_is_no_recording_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(SourceError, match="expected a recording of the bridge"):
        read_recording(tmp_path / "x.json")
