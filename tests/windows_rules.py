"""A pytest plugin under which Linux refuses what Windows refuses of open files.

On Windows a file that any process has open or mapped can be neither replaced, renamed nor deleted, a folder with such a
file cannot be renamed, and `os.rename` never replaces.

- ``pytest --windows-rules`` applies the rules to every test. A refusal that no test expects fails that test, also where
  the program passed over it, or where it came in a child process.
- The marker ``posix_files`` leaves out a test that itself does what Windows forbids.
- The fixture ``windows_rules`` applies them to a single test, which expects refusals. On Windows it does nothing.

What is not seen: renames and deletes in C (SQLite, tensorstore, HDF5), and names of another case.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).with_name("windows_rules_child")))

from open_file_rules import rules_in_force, shared_for_deletion

HAS_PROC = Path("/proc/self/fd").is_dir()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--windows-rules", action="store_true", help="refuse to replace, rename or delete open files, as Windows does"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "posix_files: does what Windows forbids, such as deleting an open file; skipped there and under the rules",
    )
    if config.getoption("--windows-rules") and not HAS_PROC:
        raise pytest.UsageError("expected Linux for --windows-rules, which looks for open files in /proc")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("posix_files") and (sys.platform == "win32" or item.config.getoption("--windows-rules")):
        pytest.skip("Windows does not let open files be deleted")


@pytest.fixture
def windows_rules(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[None]:
    """Apply the rules to one test, which expects refusals."""
    if sys.platform == "win32" or request.config.getoption("--windows-rules"):
        yield
        return
    if not HAS_PROC:
        pytest.skip("needs Windows, or Linux, where open files can be looked for in /proc")
    with rules_in_force(tmp_path_factory.mktemp("rules") / "refusals.log"):
        yield


@pytest.fixture(autouse=True)
def _all_under_windows_rules(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[None]:
    if not request.config.getoption("--windows-rules"):
        yield
        return
    log = tmp_path_factory.mktemp("rules") / "refusals.log"
    with rules_in_force(log):
        yield
    if log.exists() and "windows_rules" not in request.fixturenames:
        pytest.fail(f"Windows would have refused:\n{log.read_text(encoding='utf-8')}", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _shared_files(request: pytest.FixtureRequest) -> None:
    """Know what the NDTiff follower opens with FILE_SHARE_DELETE on Windows."""
    from dblink_live.sources.ndtiff.shared_file import SharedFile

    if not HAS_PROC:
        return
    begin, close = SharedFile.__init__, SharedFile.close

    def noting(self: SharedFile, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        shared_for_deletion.add(self._file.fileno())

    def forgetting(self: SharedFile) -> None:
        if not self._file.closed:
            shared_for_deletion.discard(self._file.fileno())
        close(self)

    SharedFile.__init__, SharedFile.close = noting, forgetting  # type: ignore[method-assign]
