"""The source specification of what a user names: a specification, or the path of a file or folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from dblink_live.errors import SourceError
from dblink_live.sources.files.stack_format import format_of_path
from dblink_live.workflows.localize import source_of
from dblink_live.workflows.videos.video_files import is_zarr

JOURNAL = "journal.sqlite"


def guess_source(
    text: str,
    exposure_ms: float | None = None,
    roi: tuple[int, int, int, int] | None = None,
    wait_s: float | None = None,
) -> str:
    """Return the source specification of ``text``, with what else is known of its frames.

    Parameters
    ----------
    text
        ``scheme:path?key=value`` as it is, or the path of a recording, a folder in which frames are being saved, or a
        Micro-Manager configuration; options may follow a question mark.
    exposure_ms, roi, wait_s
        Options of the source; see `dblink_live.sources.spec.SourceSpec`.

    Raises
    ------
    SourceError
        What lies at the path holds no camera frames, or an option is stated twice.
    """
    path, _, query = text.rpartition("?") if "=" in text.rpartition("?")[2] else (text, "", "")
    options = [query] if query else []
    for name, value in (("exposure_ms", exposure_ms), ("roi", roi), ("wait_s", wait_s)):
        if value is not None:
            if any(option.startswith(f"{name}=") for option in query.split("&")):
                raise SourceError(f"expected {name} once, found it as an option of the source {text} and beside it")
            options.append(f"{name}={','.join(f'{n:g}' for n in value) if isinstance(value, tuple) else f'{value:g}'}")
    spec = _spec_of_path(path)
    return spec + (("&" if "?" in spec else "?") + "&".join(options) if options else "")


def _spec_of_path(text: str) -> str:
    """``text`` itself where it is a specification already."""
    path = Path(text)
    if not path.exists():
        if ":" not in text[2:]:  # neither a drive letter nor a scheme
            raise SourceError(f"expected a recording, a folder or a source such as tiff:FILE, found nothing at {text}")
        return text
    if (path / JOURNAL).is_file():
        raise SourceError(
            f"expected camera frames, found the run folder {path}; `dblink-live view` shows it, `dblink-live resume` "
            "goes on with it"
        )
    if path.is_dir():
        # A folder of nothing that is known is one in which Micro-Manager saves, or will.
        found = format_of_path(path)
        return f"{found.scheme if found is not None else 'ndtiff'}:{text}"
    if path.suffix.lower() == ".cfg":
        return f"mm:core?config={quote(text, safe='/:' + chr(92))}"
    if is_table(path):
        raise SourceError(
            f"expected camera frames, found the localization table {path}; `dblink-live reconstruct` takes it, and "
            "`dblink-live report` makes a run of it"
        )
    return source_of(text)


def is_maps(path: Path) -> bool:
    """Return whether ``path`` names maps, not camera frames: ``.npy``, ``.npz`` or a Zarr array or group."""
    return path.suffix.lower() in (".npy", ".npz", ".zarr") or is_zarr(path)


def is_table(path: Path) -> bool:
    """Return whether ``path`` ends as a localization table does."""
    from dblink_live.tables import written_suffixes

    return path.suffix.lower() in written_suffixes()
