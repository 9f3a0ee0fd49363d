#!/usr/bin/env python3
"""Set this project up on a machine that has Python 3.11 or newer and nothing else, then run it.

    python3 run.py demo          the whole pipeline on a simulated specimen
    python3 run.py test          lint, types, import contracts and the test suite
    python3 run.py docs          the documentation as a site, in build/site
    python3 run.py setup         only make .venv and install
    python3 run.py wheelhouse DIR   fetch all packages into DIR, for a PC of the same kind without a network
    python3 run.py clean         remove .venv and caches

Standard library alone. A second call is quick: what was installed is noted in .venv, and nothing is done again until
the requirements change.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

if not (3, 11) <= sys.version_info < (3, 15):  # this file meets whatever Python the user has
    sys.exit(
        f"run.py: expected Python 3.11 to 3.14, found {sys.version.split()[0]}"
        + ("" if sys.version_info < (3, 11) else ", for which h5py and others have no wheels yet")
        + "; call it with another, such as: python3.12 run.py ... (Windows: py -3.12 run.py ...)"
    )

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("DBLINK_VENV", ROOT / ".venv"))
STAMP = VENV / "dblink-live-installed.json"
IS_WINDOWS = sys.platform == "win32"

TORCH_INDEX = "https://download.pytorch.org/whl"


class TorchBuild(NamedTuple):
    """A CUDA build of torch, and what it runs on."""

    name: str
    cuda: tuple[int, int]
    """The driver's least CUDA version."""
    capabilities: tuple[float, float]
    """Least and greatest compute capability of the card."""


# Of torch 2.12 and later; the first that fits is taken. CUDA 13 dropped cards before Turing (7.5), and 12.6 does not
# know Blackwell (10.0 and 12.0).
TORCH_BUILDS = (TorchBuild("cu130", (13, 0), (7.5, 99.0)), TorchBuild("cu126", (12, 6), (5.0, 9.0)))
PYPI_BUILD = "cu130"
"""What the usual index has for Linux."""

# Shared library -> the Debian package that brings it. Without the first group Qt cannot be imported.
QT_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libdbus-1.so.3": "libdbus-1-3",
}
X11_LIBRARIES = {
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
}
# Only the tests of the real window need these.
VIRTUAL_SCREEN = {"Xvfb": "xvfb", "xauth": "xauth"}

CUDA_CHECK = """
import sys, torch
if not torch.cuda.is_available():
    sys.exit(f"torch {torch.__version__} sees no CUDA device")
torch.nn.functional.conv2d(torch.ones(1, 1, 8, 8, device="cuda"), torch.ones(1, 1, 3, 3, device="cuda")).sum().item()
print(f"torch {torch.__version__}: one convolution done on {torch.cuda.get_device_name()}")
"""


MAX_TEST_WORKERS = 7
"""Each takes about a gigabyte of memory."""

COMPILE = "from dblink_live.localization import compile_ahead; compile_ahead()"


class SetupError(Exception):
    """The machine cannot be set up; the message says what to do."""


class Gpu(NamedTuple):
    """What nvidia-smi says."""

    cuda: tuple[int, int]
    """The newest CUDA version that the driver can run."""
    capability: float | None
    """Compute capability of the oldest card, as 8.6; None where the driver does not tell."""


def main(arguments: Sequence[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What another program says may hold letters that a Windows console or file of cp1252 lacks.
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.verb not in ("demo", "test"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if options.verb == "clean":
            return clean()
        if options.verb == "wheelhouse":
            return fill_wheelhouse(options.folder, options.torch)
        missing = check_system_libraries(options.verb, install=options.system_deps)
        set_up(options.wheelhouse, accept_cpu=options.cpu)
        if options.verb == "demo":
            return demo(rest, is_viewer_possible=not missing)
        if options.verb == "test":
            return check_everything(rest, is_quick=options.quick)
        if options.verb == "docs":
            return build_docs()
        return 0
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    wheelhouse = os.environ.get("DBLINK_WHEELHOUSE")
    parser = argparse.ArgumentParser(
        prog="run.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_shared_options()],
        allow_abbrev=False,
    )
    parser.set_defaults(system_deps=False, cpu=False, wheelhouse=Path(wheelhouse) if wheelhouse else None)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="demo|test|docs|setup|wheelhouse|clean")
    helps = {
        "demo": "run the demo; other arguments are handed to `dblink-live demo`",
        "test": "run all checks; other arguments are handed to pytest",
        "docs": "build the documentation as a site; a warning or a broken link is a failure",
        "setup": "only make .venv and install",
        "wheelhouse": "fetch all packages into a folder, for a PC of the same system and Python without a network",
        "clean": "remove .venv and caches",
    }
    for name, help in helps.items():
        verb = verbs.add_parser(name, help=help, parents=[_shared_options()], allow_abbrev=False)
        if name == "test":
            verb.add_argument("--quick", action="store_true", help="leave out the tests marked slow")
        if name == "wheelhouse":
            verb.add_argument("folder", metavar="DIR", type=Path, help="is made if it is not there")
            builds = ["cpu", *(build.name for build in TORCH_BUILDS)]
            verb.add_argument("--torch", choices=builds, help="build of torch, if not the one that fits this PC")
    return parser


def _shared_options() -> argparse.ArgumentParser:
    """Options accepted before and after the verb, made anew for each: parsers share the defaults of shared options."""
    # SUPPRESS keeps the verb from overwriting with a default what stood before it.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--system-deps", action="store_true", help="install missing system libraries (Debian, as root)")
    shared.add_argument("--wheelhouse", metavar="DIR", type=Path, help="install from this folder of wheels, offline")
    shared.add_argument("--cpu", action="store_true", help="accept a torch without CUDA although there is a GPU")
    return shared


# ---- System libraries -------------------------------------------------------------------------------------------


def check_system_libraries(verb: str, install: bool) -> list[str]:
    """Name the Debian packages that the viewer misses, install them if asked; return what Qt itself still misses."""
    if not sys.platform.startswith("linux"):
        return []
    wanted = missing_packages(with_virtual_screen=verb == "test")
    if wanted and install:
        install_packages(wanted)
        wanted = missing_packages(with_virtual_screen=verb == "test")
    if wanted:
        say("system libraries are missing; until then the viewer's tests are skipped and the demo runs headless:")
        say(f"    sudo apt-get install -y {' '.join(wanted)}")
    return [package for soname, package in QT_LIBRARIES.items() if not is_loadable(soname)]


def missing_packages(with_virtual_screen: bool) -> list[str]:
    """Debian packages of the libraries, programs and fonts that are not here."""
    libraries = {**QT_LIBRARIES, **X11_LIBRARIES}
    missing = [package for soname, package in libraries.items() if not is_loadable(soname)]
    if not any(Path("/usr/share/fonts").rglob("*.ttf")):
        missing.append("fonts-dejavu-core")
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if with_virtual_screen:
        missing += [package for program, package in VIRTUAL_SCREEN.items() if shutil.which(program) is None]
    return missing


def is_loadable(soname: str) -> bool:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def install_packages(packages: Sequence[str]) -> None:
    """``apt-get install`` on a Debian-like machine, as root."""
    if sys.platform == "win32" or shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SetupError(
            "--system-deps needs apt-get and root; "
            f"install these yourself, by the names your system gives them: {' '.join(packages)}"
        )
    say(f"apt-get install {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=environment, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            raise SetupError(f"apt-get {command[0]} ended with status {done.returncode}; see its message above")


# ---- Virtual environment ----------------------------------------------------------------------------------------


def set_up(wheelhouse: Path | None, accept_cpu: bool) -> None:
    """Make .venv and install this project with all extras and the tools of its checks, unless that is done."""
    if wheelhouse is not None and not wheelhouse.is_dir():
        raise SetupError(f"expected a folder of wheels, found nothing at {wheelhouse}; see docs/how-to/install.md")
    wanted = requirements_fingerprint()
    if read_stamp() == wanted and venv_works():
        return
    if not venv_works():
        make_venv()
    STAMP.unlink(missing_ok=True)
    say("installing the packages; the first time takes some minutes")
    started = time.perf_counter()
    source = ["--no-index", "--find-links", str(wheelhouse)] if wheelhouse else []
    gpu = find_gpu()
    install_torch(source, gpu, accept_cpu)
    pip("install", "--editable", f"{ROOT}[all]", *dev_requirements(), *source)
    check_cuda(gpu, accept_cpu)
    # Whatever comes of it: what is not compiled now is compiled when it is needed.
    call([venv_python(), "-c", COMPILE], folder=ROOT)
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")
    say(f"installed in {time.perf_counter() - started:.0f} s")


def requirements_fingerprint() -> dict[str, str]:
    """What the installation depends on. Settings of the linters in pyproject.toml are not among it."""
    project = read_pyproject()
    tables = {name: project.get(name) for name in ("build-system", "project", "dependency-groups")}
    content = json.dumps(tables, sort_keys=True).encode() + (ROOT / "constraints.txt").read_bytes()
    return {"requirements": hashlib.sha256(content).hexdigest(), "python": sys.version, "root": str(ROOT)}


def read_stamp() -> object:
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_pyproject() -> dict[str, Any]:
    import tomllib  # not at the head: an older Python must reach the message about its age

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def dev_requirements() -> list[str]:
    """The groups dev and docs, read here because the pip of a fresh venv may be older than dependency groups."""
    groups = read_pyproject()["dependency-groups"]
    return [str(requirement) for name in ("dev", "docs") for requirement in groups[name]]


def own_requirements() -> list[str]:
    """What the package needs with the extra `all`, without the package itself."""
    project = read_pyproject()["project"]
    extras = project["optional-dependencies"]
    names = re.findall(r"\w+", extras["all"][0].partition("[")[2])
    return [*project["dependencies"], *(requirement for name in names for requirement in extras[name])]


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if IS_WINDOWS else "bin/python")


def venv_works() -> bool:
    """Whether .venv holds a pip that runs; it does not after its base Python was removed or its folder moved."""
    if not venv_python().exists():
        return False
    done = subprocess.run([venv_python(), "-c", "import pip"], capture_output=True)
    return done.returncode == 0


def make_venv() -> None:
    say(f"making {VENV}")
    if VENV.exists():
        shutil.rmtree(VENV)
    done = subprocess.run([sys.executable, "-m", "venv", str(VENV)])
    if done.returncode != 0:
        raise SetupError("python -m venv failed; on Debian or Ubuntu: sudo apt-get install -y python3-venv")


def pip(*arguments: str) -> None:
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [str(venv_python()), "-m", "pip", *arguments, *quiet, "--constraint", str(ROOT / "constraints.txt")]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # pip speaks on stderr: standard output belongs to what is run afterwards (`demo --json`).
    done = subprocess.run(command, env=environment, stdout=sys.stderr)
    if done.returncode != 0:
        raise SetupError(
            f"pip ended with status {done.returncode}; see its message above. "
            "Without a network give a folder of wheels: --wheelhouse DIR (docs/how-to/install.md says how to fill it)"
        )


# ---- torch and the GPU ------------------------------------------------------------------------------------------


def find_gpu() -> Gpu | None:
    """The NVIDIA cards here and what their driver can run, or None where nvidia-smi does not answer."""
    text = output_of(["nvidia-smi"])
    found = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", text)
    if found is None:
        return None
    # A driver from before 2022 does not know this question.
    answer = output_of(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"])
    capabilities = [float(line) for line in answer.split() if re.fullmatch(r"\d+\.\d+", line)]
    return Gpu((int(found[1]), int(found[2])), min(capabilities, default=None))


def output_of(command: Sequence[str]) -> str:
    """What a program prints; nothing where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def torch_index(gpu: Gpu | None) -> str | None:
    """The PyTorch index to take the build from, or None when the usual index has the right one.

    The usual index has a CPU build for Windows and macOS, and for Linux one that needs gigabytes of CUDA libraries.

    Raises
    ------
    SetupError
        On Windows, no build runs on this card with this driver.
    """
    if sys.platform == "darwin":
        return None
    if gpu is None:
        return None if IS_WINDOWS else f"{TORCH_INDEX}/cpu"
    for build in TORCH_BUILDS:
        lowest, highest = build.capabilities
        if gpu.cuda >= build.cuda and (gpu.capability is None or lowest <= gpu.capability <= highest):
            return None if build.name == PYPI_BUILD and not IS_WINDOWS else f"{TORCH_INDEX}/{build.name}"
    if not IS_WINDOWS:
        return None
    oldest = TORCH_BUILDS[-1]
    if gpu.capability is not None and gpu.capability < oldest.capabilities[0]:
        raise SetupError(
            f"expected an NVIDIA card of compute capability {oldest.capabilities[0]:g} or more, found "
            f"{gpu.capability:g}, which torch no longer supports; accept the CPU with --cpu"
        )
    is_new_card = gpu.capability is not None and gpu.capability > oldest.capabilities[1]
    needed = (TORCH_BUILDS[0] if is_new_card else oldest).cuda
    raise SetupError(
        f"expected an NVIDIA driver for CUDA {needed[0]}.{needed[1]} or newer, found {gpu.cuda[0]}.{gpu.cuda[1]}; "
        "update the driver, or accept the CPU with --cpu"
    )


def install_torch(source: list[str], gpu: Gpu | None, accept_cpu: bool) -> None:
    """Install torch before the rest, so that nothing pulls in another build of it."""
    index = None if source else torch_index(None if accept_cpu else gpu)
    if index is not None:  # else it comes with the other requirements
        get_torch(index, "install")


def get_torch(index: str, *command: str) -> None:
    """Let pip install or download torch from one of PyTorch's indices."""
    if index.endswith("/cpu"):
        # A convenience: where that index cannot be reached, what the usual one offers is right as well.
        if is_reachable(f"{index}/torch/"):
            pip(*command, "torch", "--extra-index-url", index)
    else:
        pip(*command, "torch", "--index-url", index, "--extra-index-url", "https://pypi.org/simple")


def fill_wheelhouse(folder: Path, build: str | None) -> int:
    """Fetch every package that `setup` installs, as a wheel, and prove that they suffice without an index.

    What has no wheel is built here: the PC without a network then needs neither a compiler nor build tools.
    """
    if not venv_works():
        make_venv()
    folder.mkdir(parents=True, exist_ok=True)
    index = torch_index(find_gpu()) if build is None else f"{TORCH_INDEX}/{build}"
    # Of two builds of one version pip takes that of the folder, whose name goes on: 2.13.0+cu126.
    command = ["wheel", "--wheel-dir", str(folder), "--find-links", str(folder)]
    if index is not None:
        get_torch(index, *command)
    requirements = [*own_requirements(), *read_pyproject()["build-system"]["requires"], *dev_requirements()]
    pip(*command, *requirements)
    pip("install", "--dry-run", "--ignore-installed", "--no-index", "--find-links", str(folder), *requirements)
    python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    say(f"copy this folder and {folder} to a PC with {sys.platform} and {python};")
    say("there: python run.py setup --wheelhouse DIR")
    return 0


def is_reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def check_cuda(gpu: Gpu | None, accept_cpu: bool) -> None:
    """Run one convolution on the GPU that nvidia-smi named. The CPU never stands in for it unsaid."""
    if gpu is None or accept_cpu:
        return
    done = subprocess.run([venv_python(), "-X", "utf8", "-c", CUDA_CHECK], capture_output=True, encoding="utf-8")
    if done.returncode == 0:
        say(done.stdout.strip())
        return
    last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
    problem = f"nvidia-smi answers, but torch cannot use the GPU: {last_line}"
    if IS_WINDOWS:
        raise SetupError(f"{problem}. Update the driver, or accept the CPU with --cpu")
    say(f"WARNING: {problem}. The CPU is used until torch is replaced by a CUDA build")


# ---- What is run ------------------------------------------------------------------------------------------------


def demo(arguments: Sequence[str], is_viewer_possible: bool) -> int:
    headless = [] if is_viewer_possible or "--headless" in arguments else ["--headless"]
    return call([venv_python(), "-m", "dblink_live", "demo", *headless, *arguments])


def check_everything(pytest_arguments: Sequence[str], is_quick: bool) -> int:
    """Lint, types and import contracts with a line each, then pytest, whose own summary closes the report."""
    scripts = venv_python().parent
    steps: dict[str, list[Path | str]] = {
        "ruff check": [scripts / "ruff", "check", "."],
        "ruff format": [scripts / "ruff", "format", "--check", "."],
        "import contracts": [scripts / "lint-imports", "--no-cache"],
        **{
            f"mypy ({platform})": [scripts / "mypy", "--platform", platform, "--cache-dir", f".mypy_cache/{platform}"]
            for platform in ("linux", "win32", "darwin")
        },
    }
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        passed = list(pool.map(lambda step: check_step(*step), steps.items()))
    failed = [name for name, ok in zip(steps, passed, strict=True) if not ok]
    # Many tests wait for a camera or for another process: one more worker than there are cores keeps these busy.
    # What a worker has not begun another takes over, so that tests of one file mostly share what it prepares.
    n_workers = min(os.cpu_count() or 1, MAX_TEST_WORKERS) + 1
    workers = ["--numprocesses", str(n_workers), "--dist", "worksteal"]
    selection = ["-m", "not slow"] if is_quick else []
    # Linux refuses what Windows refuses of open files: tests/windows_rules.py. It costs a few per cent of the time.
    rules = ["--windows-rules"] if Path("/proc/self/fd").is_dir() else []
    status = call([venv_python(), "-m", "pytest", *workers, *selection, *rules, *pytest_arguments], folder=ROOT)
    if failed:
        say(f"failed besides pytest: {', '.join(failed)}")
    return status or int(bool(failed))


def build_docs() -> int:
    """Build the site from docs/, with the reference of commands, settings and Python names from the code itself."""
    # Otherwise mkdocs-material prints an announcement of its makers, which is no warning about this site.
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    status = call([venv_python(), "-m", "mkdocs", "build", "--strict"], folder=ROOT)
    if status == 0:
        say(f"open {ROOT / 'build' / 'site' / 'index.html'}")
    return status


def check_step(name: str, command: Sequence[Path | str]) -> bool:
    """Run one check quietly and print one line, with its report below when it failed."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        env=environment,
    )  # fmt: skip
    verdict = "ok" if done.returncode == 0 else "FAILED"
    say(f"{name:<18} {verdict:<7} {time.perf_counter() - started:6.1f} s")
    if done.returncode != 0:
        print(done.stdout, flush=True)
    return done.returncode == 0


def call(command: Sequence[Path | str], folder: Path | None = None) -> int:
    """Run in the foreground; on Ctrl-C the child gets it too, and is given the time to finish in order."""
    environment = dict(os.environ)
    has_screen = any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if sys.platform.startswith("linux") and not has_screen:
        environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    child = subprocess.Popen(command, cwd=folder, env=environment)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


def clean() -> int:
    """Remove what `setup` and the checks have made. Runs are data and stay."""
    caches = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache", "build")
    for path in (VENV, *(ROOT / name for name in caches), *ROOT.glob("*.egg-info")):
        if path.exists():
            say(f"removing {path}")
            shutil.rmtree(path)
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
