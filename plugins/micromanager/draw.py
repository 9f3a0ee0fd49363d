"""Draws the steps of the README, so that nobody has to guess which button is meant.

    python plugins/micromanager/draw.py

They are drawings and no screenshots: they show where to click in Micro-Manager 2, not how its windows look to the
pixel.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

IMAGES = Path(__file__).resolve().parent / "images"
INK, PALE, GREY, HINT, PAPER = "#1c2733", "#eef1f4", "#8a96a3", "#c8281e", "#ffffff"


class Drawing:
    """A window with a title, drawn as SVG.

    Parameters
    ----------
    title
        Of the window.
    width, height
        In pixels.
    """

    def __init__(self, title: str, width: int, height: int) -> None:
        self._size = (width, height)
        self._parts = [
            f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="6" fill="{PALE}" stroke="{GREY}"/>',
            f'<rect x="1" y="1" width="{width - 2}" height="26" rx="6" fill="{GREY}"/>',
        ]
        self.text(12, 18, title, colour=PAPER, bold=True)

    def text(
        self, x: float, y: float, words: str, *, colour: str = INK, bold: bool = False, mono: bool = False
    ) -> None:
        family = "Consolas, monospace" if mono else "Segoe UI, Arial, sans-serif"
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(
            f'<text x="{x}" y="{y}" font-family="{family}" font-size="13" fill="{colour}"{weight}>'
            f"{escape(words)}</text>"
        )

    def box(self, x: float, y: float, width: float, height: float, words: str = "", *, fill: str = PAPER) -> None:
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" fill="{fill}" stroke="{GREY}"/>'
        )
        if words:
            self.text(x + 8, y + height / 2 + 5, words)

    def tick(self, x: float, y: float, words: str, is_on: bool = True) -> None:
        self.box(x, y, 14, 14)
        if is_on:
            self._parts.append(f'<path d="M{x + 3} {y + 7} l3 4 l6 -8" fill="none" stroke="{INK}" stroke-width="2"/>')
        self.text(x + 22, y + 12, words)

    def hint(self, x: float, y: float, width: float, height: float, number: int) -> None:
        """A red frame around what to click, with its number."""
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="none" stroke="{HINT}" '
            'stroke-width="2.5"/>'
            f'<circle cx="{x}" cy="{y}" r="11" fill="{HINT}"/>'
        )
        self.text(x - 4, y + 5, str(number), colour=PAPER, bold=True)

    def save(self, name: str) -> None:
        width, height = self._size
        body = "\n".join(self._parts)
        (IMAGES / name).write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">\n{body}\n</svg>\n',
            encoding="utf-8",
        )


def acquisition_window() -> None:
    drawing = Drawing("Multi-Dimensional Acquisition", 620, 250)
    drawing.tick(24, 48, "Time points")
    drawing.box(48, 72, 190, 24, "Counts: 10000")
    drawing.box(48, 102, 190, 24, "Interval: 0 ms")
    drawing.tick(24, 146, "Save images")
    drawing.box(48, 170, 330, 24, "Directory root: D:\\data")
    drawing.box(48, 200, 330, 24, "Name prefix: cell1")
    drawing.text(400, 187, "Saving format:")
    drawing.box(400, 200, 190, 24, "NDTiff")
    drawing.box(440, 48, 150, 32, "Acquire!")
    drawing.hint(18, 140, 120, 26, 1)
    drawing.hint(396, 196, 198, 32, 2)
    drawing.hint(44, 166, 338, 32, 3)
    drawing.hint(436, 44, 158, 40, 4)
    drawing.save("1_acquisition_window.svg")


def options_window() -> None:
    drawing = Drawing("Tools > Options", 620, 150)
    drawing.tick(24, 48, "Fast storage", is_on=False)
    drawing.tick(24, 76, "Run pycro-manager server on port 4827")
    drawing.tick(24, 104, "Delete log files older than 7 days", is_on=False)
    drawing.text(300, 88, "only for mm:live and mm:acquisition", colour=GREY)
    drawing.hint(18, 70, 210, 26, 1)
    drawing.save("2_options.svg")


def script_panel() -> None:
    drawing = Drawing("Tools > Script Panel...", 620, 250)
    drawing.box(16, 42, 70, 26, "Open")
    drawing.box(92, 42, 70, 26, "Run")
    drawing.box(16, 78, 588, 86)
    for row, line in enumerate(
        (
            'String dblinkLive = "C:/dblink_live/.venv/Scripts/dblink-live.exe";',
            'String dataFolder = "D:/data";',
            'String runsFolder = "D:/runs";',
            "double pixelSizeNm = 0;",
        )
    ):
        drawing.text(26, 97 + 19 * row, line, mono=True)
    drawing.box(16, 174, 588, 62)
    drawing.text(26, 194, "dblink-live waits for the next dataset in D:/data; now click Acquire!", mono=True)
    drawing.text(26, 213, "run folder: D:\\runs\\run_20261128_101500.run", mono=True)
    drawing.hint(12, 38, 78, 34, 1)
    drawing.hint(20, 82, 578, 78, 2)
    drawing.hint(88, 38, 78, 34, 3)
    drawing.save("3_script_panel.svg")


def terminal() -> None:
    drawing = Drawing("Windows PowerShell", 760, 190)
    drawing.box(10, 36, 740, 144, fill=INK)
    lines = (
        "PS C:\\dblink_live> .venv\\Scripts\\dblink-live.exe run `",
        "    --source 'ndtiff:D:\\data?watch=true' --out D:\\runs\\cell1.run --set camera.pixel_size_nm=108",
        "live at tcp://127.0.0.1:PORT; from another terminal: dblink-live view tcp://127.0.0.1:PORT",
        "waiting for the next dataset in D:\\data: start the acquisition now",
    )
    for row, line in enumerate(lines):
        drawing.text(22, 62 + 26 * row, line, colour=PALE, mono=True)
    drawing.save("4_terminal.svg")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    for draw in (acquisition_window, options_window, script_panel, terminal):
        draw()
    print(f"drawn into {IMAGES}")


if __name__ == "__main__":
    main()
