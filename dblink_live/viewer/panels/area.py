"""The four panels together: linked views, one cross, one switch for contrast, and which of them are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QTimer, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from dblink_live.display.colours import COLOUR_MAPS, ColourMapName
from dblink_live.display.contrast import CAMERA, RECONSTRUCTION, SUM, Limits
from dblink_live.viewer.panels.arrangement import PanelGrid
from dblink_live.viewer.panels.linked import Linked
from dblink_live.viewer.panels.panel import Panel
from dblink_live.viewer.panels.picture import SLOTS, Picture, Slot
from dblink_live.viewer.panels.pools import SharedPools


class PictureArea(QWidget):
    """Shows pictures side by side; positions are (y, x) in nm from the outer corner of the camera's field."""

    pointed = Signal(object)
    """(y, x) under the pointer, or None."""

    def __init__(self) -> None:
        super().__init__()
        pools = SharedPools()
        self.panels: dict[Slot, Panel] = {
            "camera": Panel("Camera", "counts", CAMERA, "grey", pools),
            "sum": Panel("Plain sum", "localizations", SUM, "ember", pools),
            "reconstruction": Panel("Reconstruction", "probability", RECONSTRUCTION, "ember", pools),
            "trust": Panel("Trust", "probability", RECONSTRUCTION, "grey", pools),
        }
        self._enabled: set[Slot] = set(SLOTS)
        self._unavailable: set[Slot] = set()
        self._alone: Slot | None = None
        self._field = QRectF()
        self._crop = QRectF()
        self._is_fitted = True
        self._shows_cross = False
        self._shows_molecules = False
        self.grid = PanelGrid(list(self.panels.values()))
        self._linked = Linked([panel.view for panel in self.panels.values()])
        self._linked.moved_by_hand.connect(self._on_moved)
        self._linked.resized.connect(self.fit_later)
        for panel in self.panels.values():
            panel.pointed.connect(self._on_pointed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.grid)
        # The panels get their sizes after the window: fitting waits until they have.
        self._fit_timer = QTimer(self)
        self._fit_timer.setSingleShot(True)
        self._fit_timer.timeout.connect(self._refit)

    @property
    def is_contrast_auto(self) -> bool:
        """Whether any panel's contrast follows its pictures."""
        return any(panel.contrast.is_auto for panel in self.panels.values())

    @property
    def shows_molecules(self) -> bool:
        """Whether the molecules of the window are drawn."""
        return self._shows_molecules

    @property
    def shows_cross(self) -> bool:
        """Whether a cross is drawn at the pointer in all panels."""
        return self._shows_cross

    def is_shown(self, slot: Slot) -> bool:
        """Whether a panel is on the screen."""
        return not self.panels[slot].isHidden()

    def show_pictures(self, pictures: Mapping[Slot, Picture]) -> None:
        """Show ``pictures``; the other panels keep theirs. Another field is fitted anew."""
        for slot, picture in pictures.items():
            self.panels[slot].show_picture(picture)
        field = QRectF()
        for panel in self.panels.values():
            field = field.united(panel.field_nm)
        if pictures and field != self._field:
            # Another camera region, or the first picture of all.
            self._field = field
            self.grid.set_aspect(field.width() / max(field.height(), 1e-9))
            self.fit()

    def show_nothing(self, slot: Slot, note: str) -> None:
        """Empty a panel, and say in it why."""
        self.panels[slot].show_picture(None, note)

    def show_points(self, places_nm: npt.NDArray[np.float64] | None) -> None:
        """Draw the molecules of the window [N, 2], or none."""
        for panel in self.panels.values():
            panel.layers.set_points(places_nm if self._shows_molecules else None)

    def show_live_region(self, region_nm: tuple[float, float, float, float] | None) -> None:
        """Outline the part (top, left, height, width) that is reconstructed live; None for the whole field."""
        for panel in self.panels.values():
            panel.layers.set_live_region(region_nm)

    def set_shows_molecules(self, is_on: bool) -> None:
        """Draw the molecules from the next `show_points` on, or take them away."""
        self._shows_molecules = is_on
        if not is_on:
            self.show_points(None)

    def set_available(self, slot: Slot, is_available: bool) -> None:
        """Say whether there is anything for a panel to show in this run."""
        self._unavailable.discard(slot) if is_available else self._unavailable.add(slot)
        self._apply_visibility()

    def set_enabled_panel(self, slot: Slot, is_on: bool) -> None:
        """Show a panel, or hide it; the last one stays."""
        self._enabled.add(slot) if is_on else self._enabled.discard(slot)
        if not self._enabled - self._unavailable:
            self._enabled.add(slot)
        self._alone = None
        self._apply_visibility()

    def only(self, slot: Slot | None) -> None:
        """Show one panel alone, or all that are chosen."""
        self._alone = slot if slot not in self._unavailable else None
        self._apply_visibility()

    def toggle_contrast(self) -> None:
        """Lock the contrast of all panels, or let it follow the pictures."""
        is_auto = self.is_contrast_auto
        for panel in self.panels.values():
            panel.hold_contrast() if is_auto else panel.follow_contrast()

    def brighten(self, steps: int) -> None:
        """Bring the bright limit of all panels closer, or farther for negative ``steps``."""
        for panel in self.panels.values():
            panel.contrast.brighten(steps)
            panel.refresh()

    def set_colours(self, slot: Slot, name: ColourMapName) -> None:
        """Change the colour map of a panel."""
        self.panels[slot].set_colours(name)
        self.panels[slot].refresh()

    def next_colours(self) -> None:
        """Take the next colour map for plain sum and reconstruction."""
        now = self.panels["reconstruction"].colours
        following = COLOUR_MAPS[(COLOUR_MAPS.index(now) + 1) % len(COLOUR_MAPS)]
        for slot in ("sum", "reconstruction"):
            self.set_colours(slot, following)

    def toggle_cross(self) -> None:
        """Draw a cross at the pointer in all panels, or none."""
        self._shows_cross = not self._shows_cross
        if not self._shows_cross:
            for panel in self.panels.values():
                panel.layers.set_cross(None)

    def crop(self, field_nm: QRectF) -> None:
        """Take a part of the field for the whole: fitting shows it."""
        self._crop = field_nm
        self.fit()

    def fit(self) -> None:
        """Show the whole field."""
        self._is_fitted = True
        self._refit()

    def fit_later(self) -> None:
        """Fit once all panels have their new sizes."""
        if self._is_fitted:
            self._fit_timer.start(0)

    def to_plain(self) -> dict[str, Any]:
        """Return what is remembered: panels, colours and locked limits."""
        locked = {
            slot: [panel.contrast.limits.low, panel.contrast.limits.high]
            for slot, panel in self.panels.items()
            if not panel.contrast.is_auto and panel.contrast.limits is not None
        }
        return {
            "panels": sorted(self._enabled),
            "colours": {slot: panel.colours for slot, panel in self.panels.items()},
            "limits": locked,
            "molecules": self._shows_molecules,
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Take what `to_plain` returned; what is not understood is left as it is."""
        panels = plain.get("panels")
        if isinstance(panels, list) and set(panels) & set(SLOTS):
            self._enabled = {slot for slot in SLOTS if slot in panels}
        colours, limits = plain.get("colours"), plain.get("limits")
        for slot, panel in self.panels.items():
            for name in COLOUR_MAPS:
                if isinstance(colours, dict) and colours.get(slot) == name:
                    panel.set_colours(name)
            pair = limits.get(slot) if isinstance(limits, dict) else None
            if isinstance(pair, list) and len(pair) == 2 and pair[0] < pair[1]:
                panel.contrast.hold(Limits(float(pair[0]), float(pair[1])))
        self._shows_molecules = plain.get("molecules") is True
        self._apply_visibility()

    def close_down(self) -> None:
        """Stop the timer."""
        self._fit_timer.stop()

    def _apply_visibility(self) -> None:
        for slot, panel in self.panels.items():
            wanted = slot == self._alone if self._alone else slot in self._enabled
            panel.setVisible(wanted and slot not in self._unavailable)
        self.grid.arrange()
        self.fit_later()

    def _refit(self) -> None:
        if self._is_fitted and not self._field.isEmpty():
            part = self._crop.intersected(self._field)
            self._linked.fit(self._field if part.isEmpty() else part)

    def _on_moved(self) -> None:
        self._is_fitted = False

    def _on_pointed(self, position_nm: tuple[float, float] | None) -> None:
        for panel in self.panels.values():
            panel.set_value_at(position_nm)
            panel.layers.set_cross(position_nm if self._shows_cross else None)
        self.pointed.emit(position_nm)
