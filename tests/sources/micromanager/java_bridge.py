"""The Java side of pycromanager's bridge, in Python over a real DemoCamera core: what Micro-Manager's server speaks.

Run as a program it is "a running Micro-Manager": ``python java_bridge.py PORT`` serves the unmodified pycromanager
client at that port, and does with its core what lines of JSON on standard input say, as a user would in its window:
``["startContinuousSequenceAcquisition", 0]``; each is answered by a line with the result.

The wire (read in pyjavaz 1.2.8): REQ/REP; JSON in ISO-8859-1, then for each array a 4-byte id and its raw bytes, the
id standing in the JSON as ``@hex``. An object is sent as its class, a hash code, its fields and its methods.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymmcore
import zmq

SERVER_VERSION = "5.1.0"
_ARRAYS = {1: "byte-array", 2: "short-array", 4: "int-array"}

Method = tuple[str, tuple[str, ...], Callable[..., Any]]
"""Java name, Java types of its arguments, and what it does."""


@dataclass(frozen=True)
class JavaClass:
    """What the client is told of a class."""

    name: str
    methods: tuple[Method, ...] = ()
    fields: tuple[str, ...] = ()

    def api(self) -> list[dict[str, Any]]:
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
    """Objects that clients hold, over all sockets, and the answers to their requests.

    Parameters
    ----------
    constructors
        Java class name: types of the constructor's arguments, and what makes the object.
    """

    def __init__(self) -> None:
        self.constructors: dict[str, tuple[tuple[str, ...], Callable[..., JavaObject]]] = {}
        self._objects: dict[int, JavaObject] = {}
        self._codes = itertools.count(1000)
        self._lock = threading.Lock()
        self.n_requests = 0

    @property
    def n_objects(self) -> int:
        """Objects that clients hold now."""
        return len(self._objects)

    def serve(self, port: int | None = None) -> int:
        """Answer at ``port`` in a thread, or at a free one; returns which."""
        server = zmq.Context.instance().socket(zmq.REP)
        if port is None:
            port = server.bind_to_random_port("tcp://127.0.0.1")
        else:
            server.bind(f"tcp://127.0.0.1:{port}")
        threading.Thread(target=self._answer_all, args=(server,), daemon=True).start()
        return port

    def _answer_all(self, server: Any) -> None:
        while True:
            request, parts = json.loads(server.recv_multipart()[0].decode("iso-8859-1")), []
            self.n_requests += 1
            try:
                reply = self._answer(request, parts)
            except Exception as error:
                # A Java stack goes over the wire as text, with its lines.
                trace = f"java.lang.Exception: {error}\n\tat mmcorej.MMCoreJJNI.call(Native Method)\n"
                reply = {"type": "exception", "value": trace, "message": trace}
            server.send_multipart([json.dumps(reply).encode("iso-8859-1"), *parts])

    def _answer(self, request: Mapping[str, Any], parts: list[bytes]) -> dict[str, Any]:
        match request["command"]:
            case "connect":
                return {"type": "none", "version": SERVER_VERSION}
            case "get-constructors":
                name = request["classpath"]
                types, _ = self.constructors[name]
                return {"type": "none", "api": [{"name": name, "arguments": list(types)}]}
            case "constructor":
                made = self.constructors[request["classpath"]][1](*map(self._argument, request["arguments"]))
                reply = self.to_wire(made, parts)
                if request.get("new-port"):
                    reply["port"] = self.serve()
                return reply
            case "run-method":
                me = self._objects[request["hash-code"]]
                arguments = [self._argument(value) for value in request["arguments"]]
                for name, types, method in me.java_class.methods:
                    if name == request["name"] and list(types) == request["argument-types"]:
                        return self.to_wire(method(me, *arguments), parts)
                raise ValueError(f"no method {request['name']}")
            case "get-field":
                return self.to_wire(self._objects[request["hash-code"]].values[request["name"]], parts)
            case "destructor":
                self._objects.pop(request["hash-code"], None)
                return {"type": "none"}
        raise ValueError(f"unknown command {request['command']}")

    def _argument(self, value: Any) -> Any:
        return self._objects[value["hash-code"]] if isinstance(value, dict) else value

    def to_wire(self, value: Any, parts: list[bytes]) -> dict[str, Any]:
        """How Java would send a value; the bytes of arrays are added to ``parts``."""
        if value is None:
            return {"type": "null"}
        if isinstance(value, str):
            return {"type": "string", "value": value}
        if isinstance(value, (bool, int, float)):
            return {"type": "primitive", "value": value}
        if isinstance(value, dict):
            return {"type": "object", "class": "JSONObject", "value": json.dumps(value)}
        if isinstance(value, np.ndarray):
            code = next(self._codes)
            parts += [code.to_bytes(4, sys.byteorder), np.ascontiguousarray(value).tobytes()]
            return {"type": _ARRAYS[value.dtype.itemsize], "value": f"@{code:x}"}
        code = next(self._codes)
        with self._lock:
            self._objects[code] = value
        return {
            "type": "unserialized-object",
            "hash-code": code,
            "class": value.java_class.name,
            "interfaces": [value.java_class.name, "java.lang.Object"],
            "fields": list(value.java_class.fields),
            "api": value.java_class.api(),
        }


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


def main(port: int) -> None:
    from java_acquisitions import add_acquisitions

    core = demo_core()
    java = JavaSide()
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
    main(int(sys.argv[1]))
