"""The examination of a machine: what it has, what is wrong with it, and what it can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dblink_live.errors import DblinkError
from dblink_live.sources.micromanager.core import adapter_folders
from dblink_live.workflows.doctor import machine, microscope
from dblink_live.workflows.doctor.capacity import MeasuredMachine, measure_capacity


@dataclass(frozen=True)
class Examination:
    """Findings of `examine`."""

    torch: machine.TorchFacts
    gpus: Sequence[machine.Gpu]
    qt: machine.Finding
    micromanager: machine.Finding
    micromanager_folders: machine.Finding
    bridge: str
    camera: microscope.CameraFacts | None
    disk: machine.Finding
    ring: machine.Finding
    capacity: MeasuredMachine | None
    """None where localizer and network could not be measured."""
    problems: tuple[str, ...]
    """What is wrong, one sentence each."""

    @property
    def holds(self) -> list[dict[str, object]]:
        """Frame rates that localizer and network hold, by camera field."""
        return [] if self.capacity is None else [field.to_json_dict() for field in self.capacity.fields]

    @property
    def verdicts(self) -> list[str]:
        """What this machine can hold, one sentence each."""
        largest = [] if self.capacity is None else [self.capacity.largest.line(self.torch.description)]
        if self.camera is None:
            return largest
        return [*largest, *microscope.verdicts(self.camera, self.holds, self.disk.value, self.ring.value)]

    def to_json_dict(self) -> dict[str, object]:
        """Return the figures of ``doctor --json``."""
        camera, largest = self.camera, None if self.capacity is None else self.capacity.largest
        return {
            "torch": self.torch.version,
            "device": self.torch.device,
            "device_description": self.torch.description,
            "gpus": [asdict(gpu) for gpu in self.gpus],
            "qt": self.qt.value,
            "micromanager": self.micromanager.value,
            "micromanager_folders": self.micromanager_folders.value,
            "bridge": self.bridge,
            "camera": None
            if camera is None
            else {
                **asdict(camera),
                "mb_s": camera.mb_s,
                "fps_held": microscope.fps_held(self.holds, camera.shape),
            },
            "verdicts": self.verdicts,
            "disk_mb_s": self.disk.value,
            "ring_mb_s": self.ring.value,
            "holds": self.holds,
            "largest_field": None if largest is None else {"device": self.torch.device, **largest.to_json_dict()},
            "problems": list(self.problems),
        }


def examine(
    folder: Path,
    mm_folders: Sequence[Path] | None = None,
    configuration: str | None = None,
    port: int = 4827,
    on_step: Callable[[str], None] = lambda _: None,
) -> Examination:
    """Ask this machine what it has, and measure how fast it is.

    Parameters
    ----------
    folder
        Where runs will be written; it exists.
    mm_folders
        Micro-Manager folders whose adapters are compared with pymmcore; None takes those that are found.
    configuration
        A Micro-Manager configuration whose camera is measured.
    port
        Of a running Micro-Manager.
    on_step
        Called with a line before each step that takes seconds.

    Returns
    -------
    Examination
        What was found. A part that is absent or broken is one of its problems, never an error.
    """
    on_step("asking torch, Qt and Micro-Manager")
    torch = machine.inspect_torch()
    gpus = machine.inspect_gpus()
    qt = machine.inspect_qt()
    micromanager = machine.inspect_micromanager()
    own = micromanager.value if isinstance(micromanager.value, dict) else {}
    folders = microscope.inspect_folders(mm_folders or adapter_folders(), own.get("device_interface"))
    camera, bridge, bridge_problems = microscope.inspect_bridge(port)
    config_problems: tuple[str, ...] = ()
    if configuration is not None:
        on_step(f"measuring the camera of {configuration}")
        camera, config_problems = microscope.measure_camera(configuration)
    on_step("measuring disk and memory")
    disk = machine.measure_disk_mb_s(folder)
    ring = machine.measure_ring_mb_s()
    findings = (torch, qt, micromanager, folders, disk, ring)
    problems = [problem for finding in findings for problem in finding.problems]
    problems += [*machine.gpu_problems(gpus, torch), *bridge_problems, *config_problems]
    capacity: MeasuredMachine | None = None
    if torch.version is not None and not torch.problems:
        on_step("measuring localizer and network")
        try:
            capacity = measure_capacity(torch.device)
        except DblinkError as error:
            problems.append(str(error))
    return Examination(torch, gpus, qt, micromanager, folders, bridge, camera, disk, ring, capacity, tuple(problems))
