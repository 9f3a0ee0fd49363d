"""Options that several verbs share, and the types of their values."""

from __future__ import annotations

import argparse
import math
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NoReturn, Protocol

from dblink_live.cli.result import Outcome
from dblink_live.config import RunConfig
from dblink_live.errors import CalibrationError, ConfigError
from dblink_live.pixel_sizes import UnusualPixelSize, check_pixel_size
from dblink_live.workflows.inputs.guess_source import guess_source, is_maps, is_table
from dblink_live.workflows.settings import SHORT_NAMES, read_settings

VERB_COLUMNS = 15
MAX_HELP_COLUMNS = 100


class UsageError(ConfigError):
    """The command line cannot be understood; the message is one line."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` with one line instead of printing its whole usage and exiting."""

    details: Callable[[], str] | None = None
    """Return what stands below the example in ``--help``: made only when it is asked for."""

    def format_help(self) -> str:
        """Return the text of ``--help``."""
        return super().format_help() + (f"\n{self.details()}\n" if self.details is not None else "")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: error: {message}; see {self.prog} --help")


class GroupedParser(Parser):
    """The parser of the whole command, whose ``--help`` lists the verbs in groups."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.groups: dict[str, list[argparse.ArgumentParser]] = {}
        """Verbs by the title of their group."""

    def format_help(self) -> str:
        """Return the text of ``--help``."""
        width = min(shutil.get_terminal_size().columns, MAX_HELP_COLUMNS)
        indent = " " * VERB_COLUMNS
        lines = [f"{self.prog}: {self.description}", ""]
        for title, verbs in self.groups.items():
            lines.append(f"{title}:")
            for verb in verbs:
                name = verb.prog.removeprefix(f"{self.prog} ")
                text = (verb.description or "").rstrip(".")
                first = f"  {name}".ljust(VERB_COLUMNS)
                lines += textwrap.wrap(text, width, initial_indent=first, subsequent_indent=indent)
            lines.append("")
        lines += [
            f"{self.prog} alone opens the start page.",
            f"{self.prog} VERB --help says what a verb takes, with an example.",
            f"{self.prog} --version prints the version.",
        ]
        return "\n".join(lines) + "\n"


class Verbs(Protocol):
    """The one method of argparse's subparsers that a verb needs."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,
        description: str,
        epilog: str,
        formatter_class: type[argparse.HelpFormatter],
        allow_abbrev: bool,
    ) -> argparse.ArgumentParser: ...


def add_verb(
    verbs: Verbs,
    name: str,
    *,
    run: Callable[[argparse.Namespace], Outcome],
    help: str,
    example: str,
    details: Callable[[], str] | None = None,
) -> argparse.ArgumentParser:
    """Add a verb whose ``--help`` ends with ``example`` and ``details``, and whose work is done by ``run``."""
    parser = verbs.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # An abbreviation that works today would become ambiguous with the next option.
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, json=False)
    if isinstance(parser, Parser):
        parser.details = details
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object on standard output")


def add_localizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--localizer",
        metavar="NAME",
        help="how molecules are found: gaussian (fit, the default), dense (network, for crowded frames), auto (picks "
        "between them frame by frame), deepstorm (the published network), a plug-in's name, or the .safetensors file "
        "of a network of your own",
    )
    parser.add_argument(
        "--psf-sigma-px",
        metavar="PX",
        type=positive,
        help="standard deviation of the point spread function (default: learned from the first frames)",
    )
    parser.add_argument(
        "--fit",
        choices=("fixed", "free", "elliptic"),
        help="width of a fitted molecule: that of all (the default), its own, or one along x and one along y",
    )
    parser.add_argument(
        "--threshold-sigma",
        metavar="S",
        type=positive,
        help="height of a spot to be fitted, in units of the noise (default: 5)",
    )
    parser.add_argument(
        "--min-photons", metavar="N", type=not_negative, help="drop molecules of fewer photo-electrons per frame"
    )
    parser.add_argument(
        "--max-precision-px", metavar="PX", type=positive, help="drop molecules known less precisely (default: 0.6)"
    )
    parser.add_argument(
        "--max-misfit",
        metavar="S",
        type=positive,
        help="drop fits worse than that of a single molecule by so many standard deviations; 3 drops most of what are "
        "two molecules in one (default: keep them)",
    )


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the counts of the camera mean."""
    parser.add_argument("--offset-adu", metavar="ADU", type=not_negative, help="mean count of a dark pixel")
    parser.add_argument(
        "--electrons-per-adu",
        metavar="E",
        type=positive,
        help="conversion gain; without it photon numbers are relative and marked uncalibrated",
    )
    parser.add_argument(
        "--read-noise-e",
        metavar="E",
        type=not_negative,
        help="read noise in electrons, standard deviation (default: 0)",
    )
    parser.add_argument("--em-gain", metavar="G", type=em_gain, help="electron-multiplying gain (default: 1, none)")


def add_settings(parser: argparse.ArgumentParser, config: str = "settings of a run, as a file; options win") -> None:
    """Options that name any setting of a run; see `settings_of`."""
    parser.add_argument("--config", metavar="F.toml", type=Path, help=config)
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help="one setting, over those of --config, for instance localizer.device=cuda; may be repeated",
    )


def settings_of(options: argparse.Namespace) -> RunConfig:
    """Return what ``--config`` and ``--set`` say, and over them the options that are a setting with a shorter name.

    Raises
    ------
    ConfigError
        An unknown setting, or one out of its range.
    """
    short = {name: getattr(options, name, None) for name in SHORT_NAMES}
    return read_settings(options.config, options.overrides, short)


def add_camera_options(parser: argparse.ArgumentParser, of: str = "") -> None:
    """The same few facts of camera and network for every verb that takes frames; ``of`` says whose they are."""
    add_pixel_size(parser, f"{of}side of a camera pixel in the sample plane")
    parser.add_argument(
        "--exposure-ms",
        metavar="MS",
        type=positive,
        help=f"{of}exposure, where the file does not state it",
    )
    parser.add_argument("--roi", metavar="X,Y,W,H", type=roi, help=f"{of}only this region of the frames, in pixels")
    parser.add_argument("--model", metavar="M", help=f"{of}network, by name or checkpoint (default: filaments)")
    parser.add_argument(
        "--window", metavar="N", type=positive_int, help=f"{of}frames that make one picture together (default: 10)"
    )


def source_of(options: argparse.Namespace, text: str) -> str:
    """The source specification of what the user named, with ``--exposure-ms`` and ``--roi``."""
    return guess_source(text, options.exposure_ms, options.roi)


def input_of(options: argparse.Namespace, text: str) -> str:
    """As `source_of` where frames were named, else ``text``: a table or maps, which have neither exposure nor region.

    Raises
    ------
    ConfigError
        ``--exposure-ms`` or ``--roi`` beside a table or maps.
    """
    path = Path(text)
    if is_maps(path) or is_table(path):
        for name, value in (("--exposure-ms", options.exposure_ms), ("--roi", options.roi)):
            if value is not None:
                raise ConfigError(f"expected camera frames beside {name}, found {path}, which has none; leave it out")
        return text
    return guess_source(text, options.exposure_ms, options.roi)


def add_pixel_size(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``--pixel-size-nm``."""
    parser.add_argument("--pixel-size-nm", metavar="NM", type=pixel_size, help=help)


def add_table(parser: argparse.ArgumentParser) -> None:
    """Options that say what of a localization table is taken, and how."""
    parser.add_argument(
        "--channel",
        metavar="VALUE",
        help="of a table with several channels, files or positions: the one to take, as VALUE or COLUMN=VALUE, or all",
    )
    parser.add_argument(
        "--unit", choices=("nm", "um", "px"), help="of a table that does not state it: the unit of its positions"
    )


def pixel_size(text: str) -> float:
    """A plausible side of a camera pixel in nm; one with an exclamation mark behind it is taken as it is."""
    value = positive(text.removesuffix("!"))
    if text.endswith("!"):
        return UnusualPixelSize(value)
    try:
        return check_pixel_size(value)
    except CalibrationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive(text: str) -> float:
    """A finite number above 0."""
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return value


def em_gain(text: str) -> float:
    """A finite number of 1 or more."""
    value = _number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an EM gain of 1 or more, found {text}")
    return value


def not_negative(text: str) -> float:
    """A finite number of 0 or more."""
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, found {text}")
    return value


def positive_int(text: str) -> int:
    """A whole number of 1 or more."""
    value = _integer(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {text}")
    return value


def not_negative_int(text: str) -> int:
    """A whole number of 0 or more."""
    value = _integer(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected 0 or more, found {text}")
    return value


def roi(text: str) -> tuple[int, int, int, int]:
    """A region x, y, width, height in camera pixels."""
    try:
        x, y, width, height = (int(value) for value in text.split(","))
    except ValueError:
        x = y = width = height = -1
    if min(x, y) < 0 or min(width, height) < 1:
        raise argparse.ArgumentTypeError(f"expected x,y,width,height in pixels, found {text!r}")
    return x, y, width, height


def lookahead(text: str) -> int | Literal["full"]:
    """A number of windows, or ``full`` for the whole backward pass."""
    if text == "full":
        return "full"
    try:
        return not_negative_int(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected a number of windows or full, found {text}") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a finite number, found {text}")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}") from None
