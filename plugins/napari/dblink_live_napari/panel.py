"""The panel beside napari's canvas: a folder or an address, and a line that says how the run is doing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from dblink_live.bus import read_client_keys
from dblink_live.errors import DblinkError
from dblink_live_napari.following import AddressFollower, FolderFollower, Following

POLL_MS = 200


class FollowPanel(QWidget):  # type: ignore[misc]  # qtpy is not typed
    """Follows one run at a time.

    Parameters
    ----------
    napari_viewer
        The viewer that the panel belongs to; napari hands it over by this name.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._following: Following | None = None
        self.place = QLineEdit()
        self.place.setPlaceholderText("run folder, or tcp://127.0.0.1:PORT")
        self.keys = QLineEdit()
        self.keys.setPlaceholderText("only for another machine")
        browse = QPushButton("Browse...")
        browse.clicked.connect(self._browse)
        self.button = QPushButton("Follow")
        self.button.clicked.connect(self.toggle)
        self.state = QLabel("A run says its address when it starts; its folder works as well.")
        self.state.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.place)
        row.addWidget(browse)
        layout = QFormLayout(self)
        layout.addRow("Run", row)
        layout.addRow("Keys", self.keys)
        layout.addRow(self.button)
        layout.addRow(self.state)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._refresh)

    @property
    def is_following(self) -> bool:
        return self._following is not None

    def toggle(self) -> None:
        """Begin to follow what the panel names, or stop."""
        if self._following is not None:
            self.stop()
            self.state.setText("Stopped. What was shown stays.")
            return
        try:
            self._following = self._open(self.place.text().strip())
        except DblinkError as error:
            self.state.setText(str(error))
            return
        self.button.setText("Stop")
        self._timer.start()
        self._refresh()

    def stop(self) -> None:
        """Let go of the run."""
        self._timer.stop()
        self.button.setText("Follow")
        if self._following is not None:
            self._following.close()
            self._following = None

    def closeEvent(self, event: Any) -> None:
        self.stop()
        super().closeEvent(event)

    def _open(self, place: str) -> Following:
        if place.startswith("tcp://"):
            keys = self.keys.text().strip()
            return AddressFollower(self._viewer, place, read_client_keys(Path(keys)) if keys else None)
        return FolderFollower(self._viewer, Path(place))

    def _refresh(self) -> None:
        if self._following is None:
            return
        try:
            self.state.setText(self._following.refresh())
        except DblinkError as error:
            self.stop()
            self.state.setText(str(error))

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Run folder")
        if folder:
            self.place.setText(folder)
