"""The Java side of pycromanager's bridge, in Python over a real DemoCamera core: what Micro-Manager's server speaks.

Run as a program it is "a running Micro-Manager": ``python java_bridge.py PORT`` serves the unmodified pycromanager
client at that port, and does with its core what lines of JSON on standard input say, as a user would in its window:
``["startContinuousSequenceAcquisition", 0]``; each is answered by a line with the result.

The wire (read in pyjavaz 1.2.8, and recorded from the real server, ``recorded_bridge.json``): REQ/REP; JSON in
ISO-8859-1, then for each array a 4-byte id and its raw bytes, the id standing in the JSON as ``[S@hex``. An object is
sent as its class, a hash code, its fields and its methods, and belongs to the port at which it was asked for.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pymmcore
import zmq

SERVER_VERSION = "5.1.0"
ARRAYS = {1: ("byte-array", "B"), 2: ("short-array", "S"), 4: ("int-array", "I")}

Method = tuple[str, tuple[str, ...], Callable[..., Any]]
"""Java name, Java types of its arguments, and what it does."""


@dataclass(frozen=True)
class JavaClass:
    """What the client is told of a class."""

    name: str
    methods: tuple[Method, ...] = ()
    fields: tuple[str, ...] = ()

    def api(self) -> list[dict[str, Any]]:
        if self.name == "mmcorej.CMMCore":
            return recorded_api()
        return [{"name": name, "arguments": list(types), "return-type": "void"} for name, types, _ in self.methods]


@dataclass
class JavaObject:
    """An object that the client holds a shadow of."""

    java_class: JavaClass
    values: Mapping[str, Any] = field(default_factory=dict)
    """Of its fields."""
    peer: Any = None


TAGGED_IMAGE = JavaClass("mmcorej.TaggedImage", fields=("pix", "tags"))
RECTANGLE = JavaClass("java.awt.Rectangle", fields=("x", "y", "width", "height"))
STR_VECTOR = JavaClass(
    "mmcorej.StrVector",
    (("size", (), lambda me: len(me.peer)), ("get", ("int",), lambda me, index: me.peer[index])),
)
STRING, INT, LONG, DOUBLE, BOOLEAN = "java.lang.String", "int", "long", "double", "boolean"


def tagged_image(core: Any, pixels: np.ndarray, metadata: Mapping[str, str]) -> JavaObject:
    """Flat pixels, and the tags that MMCoreJ adds to those of the core."""
    x, y, width, height = core.getROI()
    kinds = {1: "GRAY8", 2: "GRAY16", 4: "RGB32"}
    tags = {
        **metadata,
        "Width": int(core.getImageWidth()),
        "Height": int(core.getImageHeight()),
        "PixelType": kinds[pixels.dtype.itemsize],
        "BitDepth": int(core.getImageBitDepth()),
        "PixelSizeUm": float(core.getPixelSizeUm()),
        "ROI": f"{x}-{y}-{width}-{height}",
        "Binning": core.getProperty(core.getCameraDevice(), "Binning"),
        # What a camera's driver may call its readout: no name of an array, though it holds an @.
        "Camera-Readout": "5MHz@x",
    }
    return JavaObject(TAGGED_IMAGE, {"pix": pixels.reshape(-1), "tags": tags})


GETTERS = (
    *("getCameraDevice", "getNumberOfCameraChannels", "getImageWidth", "getImageHeight", "getBytesPerPixel"),
    *("getNumberOfComponents", "getImageBitDepth", "getExposure", "getPixelSizeUm", "getVersionInfo"),
    *("getAPIVersionInfo", "getChannelGroup", "getXYStageDevice", "getXPosition", "getYPosition", "getFocusDevice"),
    *("getRemainingImageCount", "isSequenceRunning", "isBufferOverflowed"),
)


def core_class(core: Any) -> JavaClass:
    """``mmcorej.CMMCore`` with the methods that a client may want."""

    def plain(name: str, *types: str) -> Method:
        return (name, types, lambda _, *arguments: getattr(core, name)(*arguments))

    def listed(name: str, *types: str) -> Method:
        return (name, types, lambda _, *arguments: JavaObject(STR_VECTOR, peer=getattr(core, name)(*arguments)))

    def with_metadata(name: str, *arguments: int) -> JavaObject:
        metadata = pymmcore.Metadata()
        pixels = getattr(core, name)(*arguments, metadata)
        tags = {key: metadata.GetSingleTag(key).GetValue() for key in metadata.GetKeys()}
        return tagged_image(core, pixels, tags)

    return JavaClass(
        "mmcorej.CMMCore",
        (
            *(plain(name) for name in GETTERS),
            plain("getCurrentConfig", STRING),
            plain("getProperty", STRING, STRING),
            plain("isGroupDefined", STRING),
            plain("hasProperty", STRING, STRING),
            plain("isConfigDefined", STRING, STRING),
            ("getROI", (), lambda _: JavaObject(RECTANGLE, dict(zip(RECTANGLE.fields, core.getROI(), strict=True)))),
            listed("getAvailableConfigs", STRING),
            listed("getAllowedPropertyValues", STRING, STRING),
            ("getLastTaggedImage", (), lambda _: with_metadata("getLastImageMD")),
            ("getNBeforeLastTaggedImage", (LONG,), lambda _, n: with_metadata("getNBeforeLastImageMD", n)),
        ),
    )


class JavaSide:
    """Objects that clients hold, by the port of the server that gave them, and the answers to their requests.

    Parameters
    ----------
    constructors
        Java class name: types of the constructor's arguments, and what makes the object.
    """

    def __init__(self, version: str = SERVER_VERSION) -> None:
        self.constructors: dict[str, tuple[tuple[str, ...], Callable[..., JavaObject]]] = {}
        self._version = version
        self._objects: dict[int, dict[str, JavaObject]] = {}
        self._codes = itertools.count(1000)
        self._lock = threading.Lock()
        self._main_port = 0
        self.n_requests = 0

    @property
    def n_objects(self) -> int:
        """Objects that clients hold now."""
        return sum(map(len, self._objects.values()))

    @property
    def n_servers(self) -> int:
        """Ports that are served now, a thread each."""
        return len(self._objects)

    def serve(self, port: int | None = None) -> int:
        """Answer at ``port`` in a thread, or at the next free one; returns which."""
        server = zmq.Context.instance().socket(zmq.REP)
        if port is None:
            port = self._main_port
            while True:
                port += 1
                try:
                    server.bind(f"tcp://127.0.0.1:{port}")
                    break
                except zmq.ZMQError:
                    continue
        else:
            server.bind(f"tcp://127.0.0.1:{port}")
            self._main_port = self._main_port or port
        self._objects[port] = {}
        threading.Thread(target=self._answer_all, args=(server, port), daemon=True).start()
        return port

    def _answer_all(self, server: Any, port: int) -> None:
        while True:
            request, parts = json.loads(server.recv_multipart()[0].decode("iso-8859-1")), []
            self.n_requests += 1
            try:
                reply = self._answer(request, parts, port)
            except Exception as error:
                # A Java stack goes over the wire as text, with its lines.
                trace = f"java.lang.Exception: {error}\nmmcorej.MMCoreJJNI.call(Native Method)\n"
                reply = {"type": "exception", "value": trace}
            # Characters outside Latin-1 become question marks.
            text = json.dumps(reply, ensure_ascii=False).encode("iso-8859-1", "replace")
            server.send_multipart([text, *parts])
            if port != self._main_port and request["command"] == "destructor" and not self._objects[port]:
                # Nothing is held at this port any more.
                server.close(linger=1000)
                del self._objects[port]
                return

    def _answer(self, request: Mapping[str, Any], parts: list[bytes], port: int) -> dict[str, Any]:
        match request["command"]:
            case "connect":
                request["debug"]  # without it the real server raises
                return {"type": "none", "version": self._version}
            case "get-constructors":
                name = request["classpath"]
                types, _ = self.constructors[name]
                return {"type": "none", "api": [{"name": name, "arguments": list(types)}]}
            case "constructor":
                made = self.constructors[request["classpath"]][1](*map(self._argument, request["arguments"]))
                return self.to_wire(made, parts, self.serve() if request.get("new-port") else port)
            case "run-method":
                me = self._objects[port][request["hash-code"]]
                arguments = [self._argument(value) for value in request["arguments"]]
                for name, types, method in me.java_class.methods:
                    if name == request["name"] and list(types) == request["argument-types"]:
                        return self.to_wire(method(me, *arguments), parts, port)
                raise ValueError(f"no method {request['name']}")
            case "get-field":
                return self.to_wire(self._objects[port][request["hash-code"]].values[request["name"]], parts, port)
            case "destructor":
                self._objects[port].pop(request["hash-code"], None)
                return {"type": "none"}
        raise ValueError(f"unknown command {request['command']}")

    def _argument(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return next(held[value["hash-code"]] for held in self._objects.values() if value["hash-code"] in held)

    def to_wire(self, value: Any, parts: list[bytes], port: int) -> dict[str, Any]:
        """How Java would send a value; the bytes of arrays are added to ``parts``."""
        if value is None:
            return {"type": "none"}
        if isinstance(value, str):
            return {"type": "string", "value": value}
        if isinstance(value, (bool, int, float)):
            return {"type": "primitive", "value": _java_number(value)}
        if isinstance(value, dict):
            return {"type": "object", "class": "JSONObject", "value": json.dumps(value, ensure_ascii=False)}
        if isinstance(value, np.ndarray):
            code = next(self._codes)
            parts += [code.to_bytes(4, sys.byteorder), np.ascontiguousarray(value).tobytes()]
            kind, letter = ARRAYS[value.dtype.itemsize]
            return {"type": kind, "value": f"[{letter}@{code:x}"}
        code_text = f"{next(self._codes):x}{uuid.uuid4()}"
        with self._lock:
            self._objects[port][code_text] = value
        return {
            "type": "unserialized-object",
            "hash-code": code_text,
            "port": port,
            "class": value.java_class.name,
            "interfaces": [value.java_class.name, "java.lang.Object"],
            "fields": list(value.java_class.fields),
            "api": value.java_class.api(),
        }


def _java_number(value: Any) -> Any:
    """Java's JSON writes 10.0 as 10."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@cache
def recorded_api() -> list[dict[str, Any]]:
    """The 388 methods of ``mmcorej.CMMCore``, as Micro-Manager's own server described them."""
    recording = json.loads(Path(__file__).with_name("recorded_bridge.json").read_text(encoding="utf-8"))
    replies = (exchange["reply"] for exchange in recording["exchanges"])
    return next(reply["api"] for reply in replies if reply.get("class") == "mmcorej.CMMCore")


def free_port() -> int:
    """A TCP port of this machine that nobody listens at now."""
    # ZeroMQ lets go of an address in a thread of its own, some time after it was told to.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def demo_core(config: str = "MMConfig_demo.cfg") -> Any:
    """A real core with the demo configuration, its pixel size calibrated by its objective."""
    import mm_test_adapters

    folder = mm_test_adapters.device_adapter_path()
    core = pymmcore.CMMCore()
    core.setDeviceAdapterSearchPaths([str(folder)])
    core.loadSystemConfiguration(f"{folder}/{config}")
    return core


def main(port: int, version: str = SERVER_VERSION) -> None:
    from java_acquisitions import add_acquisitions

    core = demo_core()
    java = JavaSide(version)
    java_core = JavaObject(core_class(core), peer=core)
    java.constructors["mmcorej.CMMCore"] = ((), lambda: java_core)
    add_acquisitions(java, core)
    java.serve(port)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            result = getattr(java, name) if name.startswith("n_") else getattr(core, name)(*arguments)
            print(json.dumps(result), flush=True)
        except Exception as error:
            print(json.dumps({"error": str(error)}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
