"""How much each part of an installation takes: the core, and every extra on top of it.

    python -m benchmarks.install_size [--docs docs]

Counts the files of the distributions that are installed here, with everything that they require: run it in the
environment that ``run.py setup`` makes. With ``--docs`` the
table goes into docs/how-to/install.md.
"""

from __future__ import annotations

import argparse
import platform
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.documents import find_page, measured_with, write_block
from benchmarks.report import markdown_table

ROOT = Path(__file__).parents[1]
LEFT_OUT = ("all", "compare")
"""Extras that are sums of others, or for developers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, default=None, help="write the table into install.md of this folder")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = closure(map(Requirement, project["dependencies"]))
    rows = [("core", f"{len(core)}", f"{megabytes(core):,.0f} MB", _largest(core))]
    for extra, requirements in project["optional-dependencies"].items():
        if extra not in LEFT_OUT:
            added = closure(map(Requirement, requirements)) - core
            rows.append((f"`[{extra}]`", f"+ {len(added)}", f"+ {megabytes(added):,.0f} MB", _largest(added)))
    table = markdown_table(["part", "packages", "installed", "largest"], rows)
    print(table)
    if options.docs is not None:
        head = f"{measured_with(())}; {platform.system()}, Python {platform.python_version()}"
        write_block(find_page(options.docs, "install"), "install size", f"{head}\n\n{table}")


def wanted(requirements: Iterable[Requirement], extra: str) -> list[Requirement]:
    """Return those that apply here, with ``extra`` asked for; "" asks for none."""
    environment = {**default_environment(), "extra": extra}
    return [one for one in requirements if one.marker is None or one.marker.evaluate(environment)]


def closure(requirements: Iterable[Requirement]) -> frozenset[str]:
    """Return the names of all installed distributions that ``requirements`` bring."""
    found: set[str] = set()
    waiting = wanted(requirements, "")
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        one = _installed(name)
        if name in found or one is None:
            continue
        found.add(name)
        inner = [Requirement(text) for text in one.requires or ()]
        for extra in ("", *requirement.extras):
            waiting += wanted(inner, extra)
    return frozenset(found)


def megabytes(names: Iterable[str]) -> float:
    """Return the size of the files of these distributions."""
    return sum(_size(one) for name in names if (one := _installed(name)) is not None) / 1e6


def _size(one: Distribution) -> int:
    paths = [Path(str(file.locate())) for file in one.files or ()]
    return sum(path.stat().st_size for path in paths if path.exists())


def _largest(names: Iterable[str]) -> str:
    sizes = {name: megabytes([name]) for name in names}
    return ", ".join(f"{name} {sizes[name]:,.0f}" for name in sorted(sizes, key=sizes.__getitem__, reverse=True)[:3])


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
