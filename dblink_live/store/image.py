"""Writes one reconstructed video as an OME-Zarr image of its own, outside of any run."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import zarr
from zarr.storage import LocalStore

from dblink_live.errors import StoreError
from dblink_live.files import check_path, put_in_place, remove_tree
from dblink_live.store.arrays import SeriesWriter, build_pyramid, encode_probability, make_context
from dblink_live.store.filesystem import MAX_INNER_PATH
from dblink_live.store.hierarchy import BLOCK, SeriesSpec, create_level, group_attributes
from dblink_live.types import FloatImage


@dataclass(frozen=True)
class ImageSpec(SeriesSpec):
    """A series whose group is a folder of the user's choice."""

    folder: str = ""

    @property
    def name(self) -> str:
        return self.folder


class ImageWriter:
    """Writes probabilities window by window into a new OME-Zarr 0.5 image (t, y, x) with its pyramid.

    The image is made in a folder beside its place that ends in ``.partial``, and moved when it is whole: what bears
    the asked name is never half an image.

    Parameters
    ----------
    path
        The image's folder, which must not exist.
    spec
        What the pixels are; its `ImageSpec.folder` is ignored.
    overwrite
        Replace an OME-Zarr that is there already; anything else is never replaced.

    Raises
    ------
    StoreError
        ``path`` exists, or cannot be made.
    """

    def __init__(self, path: Path, spec: SeriesSpec, overwrite: bool = False) -> None:
        check_new_image(path, overwrite)
        self._path = path
        self._scratch = path.with_name(f"{path.name}.partial")
        self._spec = ImageSpec(
            spec.product,
            spec.lattice,
            spec.grid,
            spec.dtype,
            spec.window_frames,
            spec.window_s,
            folder=path.name,
        )
        self._context = make_context()
        self._n_windows = 0
        try:
            remove_tree(self._scratch)
            self._scratch.mkdir(parents=True)
            self._writer = SeriesWriter(create_level(self._scratch, self._spec, 0, BLOCK), self._context)
        except OSError as error:
            raise StoreError(f"cannot create {path}: {error.strerror or error}; choose another --out") from error

    def append(self, image: FloatImage) -> None:
        """Write the next window, [H, W] in [0, 1]."""
        encoded = encode_probability(image, self._spec.dtype)
        try:
            self._writer.write(self._n_windows, encoded).result()
        except ValueError as error:
            # tensorstore reports a full disk, too, as ValueError.
            raise StoreError(f"cannot write window {self._n_windows} of {self._path}: {error}") from error
        self._n_windows += 1

    def finish(self) -> None:
        """Trim, build the pyramid and put the image in its place."""
        made = self._scratch / self._path.name
        self._writer.trim(self._n_windows)
        zarr.create_group(LocalStore(made), attributes=group_attributes(self._spec, n_levels=1))
        build_pyramid(self._scratch, self._spec, self._n_windows, self._context)
        try:
            put_in_place(made, self._path)
        finally:
            with suppress(OSError):
                self._scratch.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        else:
            shutil.rmtree(self._scratch, ignore_errors=True)


def check_new_image(path: Path, overwrite: bool = False) -> None:
    """Raise StoreError where an image may not be written, before any work is done."""
    if path.suffix.lower() not in ("", ".zarr"):
        raise StoreError(
            f"expected the name of an OME-Zarr image, a folder that ends in .ome.zarr, found {path}; the pictures of a "
            "run become a TIFF or a movie by `dblink-live export`"
        )
    # It is made within a folder of its name.
    check_path(path, n_more=len(path.name) + MAX_INNER_PATH)
    if not path.exists() or (overwrite and (path / "zarr.json").is_file()):
        return
    raise StoreError(f"expected a new image, but {path} exists; give another --out, or --overwrite an OME-Zarr image")
