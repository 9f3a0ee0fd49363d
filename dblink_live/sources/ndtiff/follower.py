"""``ndtiff:``: follows an NDTiff dataset, as Micro-Manager and pycromanager save it, while it is written.

The user's own acquisition goes on untouched: this only reads, without a lock, what lies on disk already. Lagging
harms nothing, so it needs no process of its own. A finished dataset is read in the same way.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dblink_live.errors import SourceError
from dblink_live.interfaces import SourceEvent
from dblink_live.latency import FOLLOW_PAUSE_S, FOLLOW_POLL_S, FOLLOW_QUIET_POLL_S
from dblink_live.sources.ndtiff import metadata as ndtiff_metadata
from dblink_live.sources.ndtiff.clock import FrameClock
from dblink_live.sources.ndtiff.dataset import GrowingDataset
from dblink_live.sources.ndtiff.discovery import find_dataset
from dblink_live.sources.ndtiff.images import NdtiffImage
from dblink_live.sources.ndtiff.index import AxisValue, IndexEntry
from dblink_live.sources.ndtiff.select import FrameChooser
from dblink_live.sources.ndtiff.survey import TIME, Survey, camera_of, survey_entries
from dblink_live.types import Frame, Gap, GapCause, Segment, Shape

_LOG = logging.getLogger(__name__)

DEFAULT_IDLE_S = 30.0
PATIENCE_S = 5.0
"""An image that the index names is whole by then, or it is damaged."""
RESTS = 3
"""Times that a block takes to read, for which the writer is then left alone. What takes longer than that anyway, such
as localizing the block, is rest enough."""
LONGEST_REST_NS = 20_000_000
"""A block of large frames takes long to read, and so long a rest that a camera could outrun us for good."""
DESELECTED_TOGETHER = 64
"""Images of other channels and positions that are reported at once: one row of a run's journal."""


@dataclass(frozen=True)
class NdtiffOptions:
    """Options of a followed dataset."""

    channel: str | None = None
    """None takes that of the first image."""
    position: str | None = None
    camera: str | None = None
    """Of a dataset in which several cameras are saved at the same axes."""
    start: int | Literal["newest"] = 0
    """Number of the first frame; ``newest`` takes the last one that is there. Those before it are deselected."""
    n_frames: int | None = None
    """At most so many frames from ``start`` on."""
    watch: bool | None = None
    """Wait for the next dataset in the folder; None does so where the folder is no dataset."""
    idle_s: float = DEFAULT_IDLE_S
    """A dataset that has not grown for so long has stopped."""
    wait_s: float | None = None
    """How long to wait for a dataset in a watched folder; None waits as long as it takes."""


class NdtiffFollower:
    """A `FrameSource` over an NDTiff dataset that may still be growing.

    Parameters
    ----------
    path
        The dataset's folder, or one in which the next dataset will appear.
    options
        What to follow.
    first_frame
        Frames below this number were kept by an interrupted run; they are passed over and not reported.

    Notes
    -----
    Frames are numbered as `FrameChooser` says, and placed in time as `FrameClock` does. Images of other channels and
    positions are reported as deselected. A change of shape, pixel type, exposure, binning, region or pixel size begins
    a new segment.
    """

    is_live = False

    def __init__(self, path: Path, options: NdtiffOptions | None = None, *, first_frame: int = 0) -> None:
        self.name = f"ndtiff:{path}"
        self.ending: str | None = None
        """Why no more frames will come, in words; None as long as some may."""
        self._path = path
        self._options = options or NdtiffOptions()
        self._kept = first_frame
        self._start = 0
        self._stop: int | None = None
        self._dataset: GrowingDataset | None = None
        self._summary: ndtiff_metadata.Metadata = {}
        self._camera: str | None = None
        """Whose images are taken; None where axes tell images apart."""
        self._last_axes: Mapping[str, AxisValue] | None = None
        self._last_camera: str | None = None
        self._chooser: FrameChooser | None = None
        """Made when the first image is there: the summary lies in its file."""
        self._clock = FrameClock()
        self._segment: Segment | None = None
        self._facts = ndtiff_metadata.ImageFacts()
        self._last_stated: tuple[Any, ...] | None = None
        """Metadata of the last image."""
        self._n_deselected = 0
        """Not reported yet."""
        self._rests_until_ns = 0
        self._ready: deque[SourceEvent] = deque()

    def open(self) -> Segment:
        """Find the dataset, wait for its first frame and describe it.

        Raises
        ------
        SourceError
            No dataset, no permission, none of the chosen images before the dataset ended, no image at all within the
            idle time, or images that are not grey and of 8 to 16 bits.
        """
        if self._dataset is not None:
            raise SourceError(f"{self.name} was opened already")
        options = self._options
        folder = find_dataset(self._path, options.watch, self._kept, options.wait_s)
        self._dataset = GrowingDataset(folder, min(PATIENCE_S, options.idle_s))
        while self._segment is None:
            if not self._advance(self._dataset) and not self._wait(self._dataset, FOLLOW_QUIET_POLL_S):
                raise SourceError(self._why_nothing_came(self._dataset))
        return self._segment

    def read(self, max_frames: int, timeout_s: float) -> list[SourceEvent]:
        """Return what has come since: at most ``max_frames`` images are looked at, and as few as one once it is there.

        Where so many were there at once, we are behind a writer that is very fast, and would read without a pause. Then
        the next call first waits until disk and memory have been left to the writer for `RESTS` times as long, or for
        `LONGEST_REST_NS`.

        Raises
        ------
        SourceError
            The next image cannot be read, or is none. Those before it were returned by earlier calls.
        """
        if self._dataset is None:
            raise SourceError(f"{self.name} is not open")
        deadline_ns = time.perf_counter_ns() + int(timeout_s * 1e9)
        rest_s = (min(self._rests_until_ns, deadline_ns) - time.perf_counter_ns()) * 1e-9
        if rest_s > 0:
            time.sleep(rest_s)
        n_wanted, n_seen, first_ns = max_frames - len(self._ready), 0, 0
        try:
            while n_seen < n_wanted and self.ending is None and self._advance_until(self._dataset, deadline_ns):
                n_seen += 1
                first_ns = first_ns or time.perf_counter_ns()
            if n_seen == n_wanted and self._dataset.is_being_written():
                now_ns = time.perf_counter_ns()
                self._rests_until_ns = now_ns + min(RESTS * (now_ns - first_ns), LONGEST_REST_NS)
        except SourceError as error:
            # What was read before it is handed out first. The next call meets the error again.
            if not self._ready:
                self.ending = str(error)
                raise
        if self.ending is not None:
            self._report_deselected()
        events = list(self._ready)
        self._ready.clear()
        return events

    @property
    def is_finished(self) -> bool:
        return self.ending is not None and not self._ready

    @property
    def n_frames_expected(self) -> int | None:
        """Known only where a number of frames was asked for."""
        return max(0, self._stop - max(self._start, self._kept)) if self._stop is not None else None

    def stop(self) -> None:
        """End after the frames already returned."""
        self._end("it was stopped")
        self._ready.clear()

    def close(self) -> None:
        """Close the files."""
        if self._dataset is not None:
            self._dataset.close()
            self.stop()

    def _advance_until(self, dataset: GrowingDataset, deadline_ns: int) -> bool:
        """Deal with the next image, waiting for it if there is nothing else to hand out."""
        while not self._advance(dataset):
            left_s = (deadline_ns - time.perf_counter_ns()) * 1e-9
            if self._ready or left_s <= 0 or not self._wait(dataset, left_s):
                return False
        return True

    def _advance(self, dataset: GrowingDataset) -> bool:
        """Deal with the next image of the index; False while there is none, or it is not whole."""
        entry = dataset.next_entry()
        if entry is None:
            return False
        chooser = self._chooser or self._begin(dataset, entry)
        if chooser is None or not self._deal_with(entry, dataset, chooser):
            return False
        dataset.take(entry)
        return True

    def _begin(self, dataset: GrowingDataset, entry: IndexEntry) -> FrameChooser | None:
        summary = dataset.summary(entry)
        if summary is None:
            return None
        options, names = self._options, ndtiff_metadata.channel_names(summary)
        found = survey_entries(dataset.entries_now(), dataset.folder)
        channel = options.channel
        if found.twins is not None or options.camera is not None:
            self._camera = self._choose_camera(dataset, entry, found)
            channel = None if self._camera == channel else channel
        for sentence in found.left_out:
            _LOG.warning("%s: %s", self.name, sentence)
        if found.frame_axis != TIME:
            _LOG.warning("%s: frames are taken along the axis %s: all have one time", self.name, found.frame_axis)
        make = partial(FrameChooser, channel, options.position, names, found.frame_axis, found.is_settled)
        chooser = make()
        if not chooser.is_listed():
            listed = ", ".join(names)
            raise SourceError(f"expected the channel {options.channel!r} in {dataset.folder}, found {listed}")
        if options.start != "newest":
            self._start = options.start
        elif not self._kept:
            counter = make()
            for earlier in dataset.entries_now():
                counter.take(earlier.axes, chosen=counter.is_chosen(earlier.axes))
            self._start = max(0, counter.next_number - 1)
        if options.n_frames is not None:
            self._stop = self._start + options.n_frames
        self._summary, self._chooser = summary, chooser
        return chooser

    def _choose_camera(self, dataset: GrowingDataset, entry: IndexEntry, found: Survey) -> str | None:
        """The camera whose images are taken: the one asked for, which must be there where two images are to compare."""
        images = [dataset.read(twin) for twin in found.twins or (entry,)]
        cameras = {camera_of(image.metadata) for image in images if image is not None}
        wanted = self._options.camera
        if wanted is None and self._options.channel in cameras - {None}:
            # Where no axis tells cameras apart, their names are what a user knows as channels.
            wanted = self._options.channel
        if found.twins is None:
            if not cameras & {None, wanted}:
                raise SourceError(
                    f"expected images of camera {wanted!r} in {dataset.folder}, found {', '.join(map(str, cameras))}"
                )
            return wanted if wanted in cameras else None
        if wanted is None and len(cameras) == 1 and not found.are_adjacent:
            _LOG.warning(
                "%s: time starts anew; its images are taken in the order in which they were written", self.name
            )
            return None
        if wanted is None or wanted not in cameras:
            raise self._twins_error(dataset, found.twins[0], cameras)
        return wanted

    def _twins_error(self, dataset: GrowingDataset, entry: IndexEntry, cameras: set[str | None]) -> SourceError:
        at = ", ".join(f"{axis} {value}" for axis, value in entry.axes.items())
        named = sorted(camera for camera in cameras if camera is not None)
        if len(named) > 1:
            return SourceError(
                f"expected images of one camera at {at} in {dataset.folder}, found those of {' and '.join(named)}; "
                f"choose one with ?camera={named[0]}"
            )
        return SourceError(
            f"expected one image at {at} in {dataset.folder}, found two: the time point was written twice; save "
            "acquisitions into datasets of their own"
        )

    def _deal_with(self, entry: IndexEntry, dataset: GrowingDataset, chooser: FrameChooser) -> bool:
        """Turn the image of ``entry`` into what is reported of it; False while it is not whole."""
        if not chooser.is_chosen(entry.axes):
            chooser.take(entry.axes, chosen=False)
            self._deselect(chooser.next_number)
            return True
        if self._camera is not None or entry.axes == self._last_axes:
            image = dataset.read(entry)
            if image is None:
                return False
            taken_by = camera_of(image.metadata)
            if self._camera is None:
                raise self._twins_error(dataset, entry, {taken_by, self._last_camera})
            if taken_by != self._camera:
                chooser.take(entry.axes, chosen=False)
                self._deselect(chooser.next_number)
                return True
        number = chooser.number_of(entry.axes)
        if number < max(self._kept, self._start):
            chooser.take(entry.axes, chosen=True)
            self._deselect(number)
            return True
        if self._stop is None or number < self._stop:
            image = dataset.read(entry)
            if image is None:
                return False
            camera = camera_of(image.metadata)
            if self._camera is None and None not in (camera, self._last_camera) and camera != self._last_camera:
                raise self._twins_error(dataset, entry, {camera, self._last_camera})
            self._last_axes, self._last_camera = entry.axes, camera
            self._report_missing(number, chooser)
            self._announce(entry, image, chooser)
            self._report(number, image)
        else:
            self._report_missing(self._stop, chooser)
        chooser.take(entry.axes, chosen=True)
        if self._stop is not None and number + 1 >= self._stop:
            self._end("all frames that were asked for have come")
        return True

    def _announce(self, entry: IndexEntry, image: NdtiffImage, chooser: FrameChooser) -> None:
        """Begin a segment where the image differs from those before it."""
        stated = (image.data.shape, image.data.dtype, image.stored_bits, *ndtiff_metadata.stated(image.metadata))
        if stated == self._last_stated:
            return
        self._last_stated = stated
        facts = ndtiff_metadata.image_facts(image.metadata, self._summary, image.stored_bits)
        shape, dtype = Shape(*image.data.shape), image.data.dtype
        before = self._segment
        if before is None:
            reason: str | None = "start"
        elif before.shape != shape:
            reason = "shape"
        elif before.dtype != dtype.name:
            reason = "pixel type"
        else:
            reason = self._facts.change_to(facts)
        if reason is None:
            # A fact may be stated first by a later image: the first of a sequence is taken in another way at times.
            self._facts = self._facts.filled_from(facts)
            return
        # What a later image does not state is as before, unless the camera now takes another field.
        self._facts = facts if reason in ("shape", "pixel type") else facts.filled_from(self._facts)
        segment = Segment(
            index=before.index + 1 if before is not None else 0,
            shape=shape,
            dtype="uint8" if dtype == np.uint8 else "uint16",
            frame_interval_ms=ndtiff_metadata.frame_interval_ms(self._summary),
            channel=chooser.label("channel", entry.axes),
            position=chooser.label("position", entry.axes),
            wall_clock_anchor_ns=time.time_ns(),
            host_anchor_ns=time.perf_counter_ns(),
            reason=reason,
        )
        if before is not None:
            self._report_deselected()
        self._segment = self._facts.describe(segment)
        if before is not None:
            self._ready.append(self._segment)

    def _report(self, number: int, image: NdtiffImage) -> None:
        arrived_ns = time.perf_counter_ns()
        saturation = 2 ** (self._facts.bit_depth or image.stored_bits) - 1
        # The maximum is found several times as fast as pixels are counted, and seldom are there any to count.
        is_saturated = image.data.max() >= saturation
        self._ready.append(
            Frame(
                segment=self._segment_index,
                number=number,
                t_host_ns=self._clock.host_ns(arrived_ns, ndtiff_metadata.camera_times_ns(image.metadata)),
                data=image.data,
                n_saturated=int(np.count_nonzero(image.data >= saturation)) if is_saturated else 0,
            )
        )

    def _report_missing(self, number: int, chooser: FrameChooser) -> None:
        """Report the frames before ``number`` that the time axis skips."""
        first = max(chooser.next_number, self._kept, self._start)
        if number > first:
            self._ready.append(Gap(self._segment_index, first - 1, number - first, GapCause.CAMERA))

    def _deselect(self, number: int) -> None:
        """Count an image that lies before frame ``number``, or is that frame, and is left out."""
        if number < self._kept:
            return  # The run that was interrupted has reported it.
        self._n_deselected += 1
        if self._n_deselected >= DESELECTED_TOGETHER and self._segment is not None:
            self._report_deselected()

    def _report_deselected(self) -> None:
        after = self._chooser.next_number - 1 if self._chooser is not None else -1
        while self._n_deselected:
            # Never many at once: a gap longer than a run allows for would end its segment.
            count = min(self._n_deselected, DESELECTED_TOGETHER)
            self._ready.append(Gap(self._segment_index, after, count, GapCause.DESELECTED))
            self._n_deselected -= count

    @property
    def _segment_index(self) -> int:
        return self._segment.index if self._segment is not None else 0

    def _wait(self, dataset: GrowingDataset, at_most_s: float) -> bool:
        """Sleep until the index is worth another look; False once the dataset has ended."""
        quiet_s = dataset.quiet_s
        if quiet_s > FOLLOW_PAUSE_S and dataset.is_closed():
            self._end("the dataset is finished")
        elif quiet_s > self._options.idle_s:
            dataset.check_no_more()
            n_images = self._chooser.next_number if self._chooser is not None else 0
            self._end(f"the dataset stopped growing after {n_images} frames: none came for {self._options.idle_s:g} s")
            _LOG.warning("%s: %s, and it was not closed", self.name, self.ending)
        if self.ending is not None:
            return False
        time.sleep(min(at_most_s, FOLLOW_POLL_S if quiet_s < 1.0 else FOLLOW_QUIET_POLL_S))
        return True

    def _end(self, why: str) -> None:
        if self.ending is None:
            self.ending = why

    def _why_nothing_came(self, dataset: GrowingDataset) -> str:
        if self._chooser is None:
            return (
                f"expected images in {dataset.folder}, none came within {self._options.idle_s:g} s; start the "
                "acquisition, or wait longer with idle_s"
            )
        n_images, first = self._chooser.next_number, max(self._start, self._kept)
        if n_images:
            return f"expected frames from number {first} on in {dataset.folder}, found {n_images}; {self.ending}"
        return f"{self._chooser.absent()} in {dataset.folder}; {self.ending}"
