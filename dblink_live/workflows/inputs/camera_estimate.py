"""Offset and gain of a camera estimated from a recording of a specimen, and facts that a recording contradicts."""

from __future__ import annotations

import json

from dblink_live.camera.recording_facts import RecordingFacts, contradictions, estimate_camera, estimated_camera
from dblink_live.errors import CalibrationError, SourceError
from dblink_live.inspection import read_excerpt
from dblink_live.types import Camera
from dblink_live.workflows.localize import source_of

N_FRAMES = 500


def estimate_from_recording(stack: str, em_gain: float = 1.0) -> RecordingFacts:
    """Estimate offset and gain from the middle of the first frames of a recording.

    Raises
    ------
    SourceError
        The recording cannot be read.
    CalibrationError
        Its frames do not tell.
    """
    frames, _ = read_excerpt(source_of(stack), N_FRAMES)
    return estimate_camera(frames, em_gain)


def camera_of_recording(source: str, camera: Camera) -> tuple[Camera, list[str]]:
    """Return ``camera`` for the frames of a recording, with what there is to say of it, a sentence each.

    An uncalibrated one takes over an estimate from the frames, marked so, where that is certain enough. Of another,
    each fact is named that the frames contradict.
    """
    try:
        frames, _ = read_excerpt(source)
    except SourceError:
        # What cannot be read is reported when it is read for good.
        return camera, []
    if not camera.is_calibrated:
        estimated, sentence = estimated_camera(frames, camera)
        return estimated, [sentence]
    try:
        return camera, contradictions(estimate_camera(frames, camera.em_gain), camera)
    except CalibrationError:
        return camera, []


def configuration_of(facts: RecordingFacts, stack: str) -> str:
    """Return the facts as a configuration for `run`, marked as estimated."""
    # As JSON, a file's name cannot end the comment it stands in.
    lines = [
        f"# ESTIMATED by dblink-live calibrate --from-recording {json.dumps(stack)}: variance against mean of the",
        f"# background of {facts.n_frames} frames. Dark and light stacks give better numbers.",
        "[camera]",
        f"offset_adu = {max(facts.offset_adu, 0.0):.6g}  # +- {facts.offset_error_adu:.2g}",
        f"electrons_per_adu = {facts.electrons_per_adu:.6g}  # +- {facts.electrons_per_adu_error:.2g}",
    ]
    if facts.em_gain > 1:
        lines.append(f"em_gain = {facts.em_gain:.6g}")
    return "\n".join([*lines, ""])
