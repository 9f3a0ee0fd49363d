"""``mm:core``: a Micro-Manager core that we own, through pycromanager's Python backend.

`recipe` runs here; `build_core` runs in the camera process. Device adapters are looked for in the folder that
``MICROMANAGER_PATH`` names, in an installed Micro-Manager, and in the package mm-test-adapters; the first that holds
every adapter of the configuration is taken.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from dblink_live.errors import SourceError
from dblink_live.sources.spec import SourceSpec
from dblink_live.types import CameraRecipe

BUILDER = "dblink_live.sources.micromanager.core:build_core"
PATH_VARIABLE = "MICROMANAGER_PATH"


def recipe(spec: SourceSpec) -> CameraRecipe:
    """Return what the camera process needs to know of an ``mm:core`` specification."""
    return CameraRecipe(
        name=f"mm:core ({spec.config})",
        builder=BUILDER,
        options={"config": spec.config},
        exposure_ms=spec.exposure_ms,
        roi=spec.roi,
        binning=spec.binning,
        n_frames=spec.frames,
        fps=spec.fps,
    )


def build_core(config: str) -> object:
    """Start a headless core with a configuration file and return it. One core a process.

    Raises
    ------
    SourceError
        No such file, an adapter that no folder holds, versions that do not fit each other, or a device that
        does not initialize.
    """
    try:
        import pymmcore
        from pycromanager import Core, start_headless
    except ImportError as error:
        raise SourceError(
            f"expected pycromanager for mm:core, found that it cannot be imported ({error}); "
            'install the extra: pip install "dblink-live[micromanager]"'
        ) from error
    folders = adapter_folders()
    path = find_config(config, folders)
    folder = choose_folder(path, folders)
    check_adapter_versions(str(pymmcore.__version__), _test_adapters_version(folder))
    try:
        start_headless(str(folder), str(path), python_backend=True, buffer_size_mb=16)
    except Exception as error:
        detail = " ".join(str(error).split())
        version = str(pymmcore.__version__)
        raise SourceError(
            f"expected Micro-Manager to load {path}, found: {detail} (adapters from {folder}; this pymmcore {version} "
            f"loads device interface {_device_interface(version)}). {_what_to_do(detail)}"
        ) from error
    core: object = Core()
    return core


def adapter_folders() -> list[Path]:
    """Folders that may hold device adapters, in the order in which they are tried."""
    folders: list[Path] = []
    if PATH_VARIABLE in os.environ:
        folders.append(Path(os.environ[PATH_VARIABLE]))
    folders += _installed_micromanager()
    try:
        import mm_test_adapters
    except ImportError:
        pass
    else:
        folders.append(Path(mm_test_adapters.device_adapter_path()))
    return [folder for folder in folders if folder.is_dir()]


def find_config(config: str, folders: Iterable[Path]) -> Path:
    """The configuration file: as a path, or by name among those that come with the adapters.

    Raises
    ------
    SourceError
        There is no such file.
    """
    tried = [Path(config).expanduser().absolute(), *(folder / config for folder in folders)]
    for path in tried:
        if path.is_file():
            return path
    places = ", ".join(str(path.parent) for path in tried)
    raise SourceError(f"expected a Micro-Manager configuration {config!r}, found no such file in {places}")


def choose_folder(config: Path, folders: list[Path]) -> Path:
    """The first folder that holds every adapter which the configuration names.

    Raises
    ------
    SourceError
        No folder does; the message names what is missing in the best one.
    """
    wanted = _devices_by_adapter(config)
    if not folders:
        raise SourceError(
            f"expected device adapters for {config}, found no folder of any; set {PATH_VARIABLE} to the Micro-Manager "
            "folder, or pip install mm-test-adapters for the demo camera"
        )
    missing = {folder: wanted.keys() - _adapters_in(folder) for folder in folders}
    best = min(folders, key=lambda folder: len(missing[folder]))
    if missing[best]:
        names = " and ".join(f"{name} (for {', '.join(wanted[name])})" for name in sorted(missing[best]))
        raise SourceError(
            f"expected the device adapters that {config} names, found none called {names} in "
            f"{', '.join(str(folder) for folder in folders)}; set {PATH_VARIABLE} to the Micro-Manager folder that has "
            "them, install a newer Micro-Manager, or take the device out of the configuration with Micro-Manager's "
            f"Hardware Configuration Wizard{'' if sys.platform == 'win32' else '; many adapters exist on Windows only'}"
        )
    return best


def _what_to_do(detail: str) -> str:
    """Advice on a configuration that the core refused with ``detail``."""
    if "Failed to load" in detail:
        return (
            "The adapter is there, and a library that it needs is not, or it was built for another device interface: "
            "install the driver of the device's maker, whose libraries belong into the Micro-Manager folder"
        )
    return "Load the same file in Micro-Manager to see which device fails"


def check_adapter_versions(pymmcore_version: str, adapters_version: str | None) -> None:
    """Compare the device interface of pymmcore (its fourth number) with that of mm-test-adapters (its first).

    Micro-Manager itself only says "Failed to load device adapter".

    Raises
    ------
    SourceError
        They differ.
    """
    if adapters_version is None:
        return
    expected = _device_interface(pymmcore_version)
    found = adapters_version.partition(".")[0]
    if expected != found:
        raise SourceError(
            f"expected device adapters of interface {expected} for pymmcore {pymmcore_version}, found mm-test-adapters "
            f"{adapters_version} of interface {found}; install the pair that belongs together: "
            f'pip install "mm-test-adapters=={expected}.*"'
        )


def _device_interface(pymmcore_version: str) -> str:
    numbers = pymmcore_version.split(".")
    return numbers[3] if len(numbers) > 3 else "unknown"


def _test_adapters_version(folder: Path) -> str | None:
    """Version of mm-test-adapters when the folder is its own; None for an installed Micro-Manager."""
    try:
        import mm_test_adapters
    except ImportError:
        return None
    if folder != Path(mm_test_adapters.device_adapter_path()):
        return None
    return str(mm_test_adapters.__version__)


def _installed_micromanager() -> list[Path]:
    """Micro-Manager folders where its installers put them, the newest first."""
    if sys.platform == "win32":
        roots = [Path(os.environ.get("PROGRAMFILES", r"C:\Program Files"))]
    elif sys.platform == "darwin":
        roots = [Path("/Applications"), Path.home()]
    else:
        roots = [Path("/opt"), Path("/usr/local"), Path.home()]
    found: list[Path] = []
    for root in roots:
        try:
            found += sorted((path for path in root.glob("Micro-Manager*") if path.is_dir()), reverse=True)
        except OSError:
            continue
    return found


def _devices_by_adapter(config: Path) -> dict[str, list[str]]:
    """Labels of the devices that a configuration loads, by adapter: fields 2 and 3 of its Device lines."""
    text = config.read_text(encoding="utf-8-sig", errors="replace")
    devices: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if fields[0] == "Device" and len(fields) >= 4:
            devices.setdefault(fields[2], []).append(fields[1])
    return devices


def _adapters_in(folder: Path) -> set[str]:
    """Names of the adapter libraries in a folder: ``mmgr_dal_NAME.dll``, ``libmmgr_dal_NAME[.so.0]``."""
    names: set[str] = set()
    for path in folder.glob("*mmgr_dal_*"):
        names.add(path.name.partition("mmgr_dal_")[2].partition(".")[0])
    return names
