"""The toolbar: what the window can do, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QSizePolicy, QSpinBox, QToolBar, QToolButton, QWidget

from dblink_live.display.colours import COLOUR_MAPS
from dblink_live.viewer.keys import BINDINGS
from dblink_live.viewer.panels.area import PictureArea
from dblink_live.viewer.panels.picture import SLOTS
from dblink_live.viewer.sources.stored_source import SUM_WINDOWS

MAX_SUM_WINDOWS = 1000


class ViewerToolbar(QToolBar):
    """Buttons for the actions of the table of keys, and for what the panels show.

    Parameters
    ----------
    area
        The panels.
    actions
        What each action of `BINDINGS` does.
    """

    sum_length_chosen = Signal(int)
    tool_chosen = Signal(str)
    """rectangle, line or none."""

    def __init__(self, area: PictureArea, actions: Mapping[str, Callable[[], object]]) -> None:
        super().__init__()
        self._area = area
        self._calls = actions
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.stop = QAction("Stop", self)
        self.stop.setToolTip("end the run in order: what the camera has taken is still worked off")
        self.stop.setVisible(False)
        self.addAction(self.stop)
        self._add("Fit", "fit", "show the whole field")
        self._panels = self._add_menu("Panels", "choose the panels")
        self._panels.aboutToShow.connect(self._fill_panels)
        self.molecules = self._add("Molecules", "molecules", "draw the molecules of the window", is_switch=True)
        self.contrast = self._add("Lock contrast", "contrast", "keep the contrast of all panels", is_switch=True)
        self._colours = self._add_menu("Colours", "choose a colour map per panel")
        self._colours.aboutToShow.connect(self._fill_colours)
        self.sum_length = QSpinBox()
        self.sum_length.setRange(1, MAX_SUM_WINDOWS)
        self.sum_length.setValue(SUM_WINDOWS)
        self.sum_length.setPrefix("Sum of ")
        self.sum_length.setSuffix(" windows")
        self.sum_length.setKeyboardTracking(False)
        self.sum_length.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.sum_length.setToolTip("how many windows the plain sum shows, up to the one shown")
        self.sum_length.valueChanged.connect(self._on_sum_length)
        self.addWidget(self.sum_length)
        self.stage = self._add("Provisional", "provisional", "show the other reconstruction", is_switch=True)
        measure = self._add_menu("Measure", "measure with a rectangle or a line")
        for text, tool in (("Rectangle", "rectangle"), ("Line", "line"), ("Nothing", "none")):
            measure.addAction(text).triggered.connect(partial(self._on_tool, tool))
        room = QWidget()
        room.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.addWidget(room)
        self._add("Save picture", "save_picture", "save this window as a PNG")
        self._add("Help", "help", "all keys")
        for button in self.findChildren(QToolButton):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def button(self, text: str) -> QAction:
        """Return the action with that word on its button.

        Raises
        ------
        KeyError
            There is none.
        """
        for action in self.actions():
            if action.text() == text:
                return action
        raise KeyError(text)

    def refresh(self) -> None:
        """Show the state of the switches."""
        self.molecules.setChecked(self._area.shows_molecules)
        self.contrast.setChecked(not self._area.is_contrast_auto)

    def _add(self, text: str, action: str, tip: str, is_switch: bool = False) -> QAction:
        made = QAction(text, self)
        made.setCheckable(is_switch)
        keys = next(binding.keys for binding in BINDINGS if binding.action == action)
        made.setToolTip(f"{tip} (key: {keys[0]})")
        made.triggered.connect(lambda _checked=False: self._call(action))
        self.addAction(made)
        return made

    def _call(self, action: str) -> None:
        self._calls[action]()
        self.refresh()

    def _add_menu(self, text: str, tip: str) -> QMenu:
        button = QToolButton()
        button.setText(f"{text} \N{BLACK DOWN-POINTING SMALL TRIANGLE}")
        button.setToolTip(tip)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        button.setMenu(menu)
        # The arrow of the style would stand beside ours.
        button.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.addWidget(button)
        return menu

    def _fill_panels(self) -> None:
        self._panels.clear()
        for slot in SLOTS:
            action = self._panels.addAction(self._area.panels[slot].title)
            action.setCheckable(True)
            action.setChecked(self._area.is_shown(slot))
            action.toggled.connect(partial(self._area.set_enabled_panel, slot))

    def _fill_colours(self) -> None:
        self._colours.clear()
        for slot in SLOTS:
            menu = self._colours.addMenu(self._area.panels[slot].title)
            for name in COLOUR_MAPS:
                action = menu.addAction(name)
                action.setCheckable(True)
                action.setChecked(self._area.panels[slot].colours == name)
                action.triggered.connect(lambda _checked, slot=slot, name=name: self._area.set_colours(slot, name))

    def _on_tool(self, tool: str, _checked: bool = False) -> None:
        self.tool_chosen.emit(tool)

    def _on_sum_length(self, n_windows: int) -> None:
        self.sum_length.clearFocus()
        self.sum_length_chosen.emit(n_windows)
