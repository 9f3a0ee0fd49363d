"""A Micro-Manager that runs, as far as the bridge can tell: a process of its own, which can be told what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from java_bridge import free_port


class RunningMicroManager:
    """Serves a real DemoCamera core at a port; its methods are what a user does in its window.

    Parameters
    ----------
    port
        None takes a free one.
    version
        Of its bridge; None takes the one that the installed client expects.
    """

    def __init__(self, port: int | None = None, version: str | None = None) -> None:
        self.port = free_port() if port is None else port
        script = Path(__file__).with_name("java_bridge.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), *filter(None, [version])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def do(self, method: str, *arguments: Any) -> Any:
        """Call a method of the core."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def start_live(self, exposure_ms: float = 20.0) -> None:
        self.do("setExposure", exposure_ms)
        self.do("startContinuousSequenceAcquisition", 0)

    def stop_live(self) -> None:
        self.do("stopSequenceAcquisition")

    def kill(self) -> None:
        """As when it crashes, or its window is closed."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or "null")
