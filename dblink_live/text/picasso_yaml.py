"""Descriptions that Picasso writes beside movies and localizations: YAML, at times with NumPy values in it.

Nothing that a file names is imported or called: NumPy scalars are decoded from their bytes, whatever else is tagged as
an object of Python becomes None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dblink_live.errors import SourceError

_PYTHON = "tag:yaml.org,2002:python/"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_NUMBERS = re.compile(r"[<>=|]?[bfiu][1-8]")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that goes over objects of Python."""


def _python_value(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return node.value if tag in ("str", "unicode") else None
    if isinstance(node, yaml.MappingNode):
        content = loader.construct_mapping(node, deep=True)
        args = content.get("args")
        # A dtype: its name, and its byte order in the second place of its state.
        if tag == "object/apply:numpy.dtype" and isinstance(args, Sequence) and args:
            state = content.get("state")
            order = state[1] if isinstance(state, Sequence) and len(state) > 1 else "="
            return f"{order if order in ('<', '>') else '='}{args[0]}"
        return None
    if not isinstance(node, yaml.SequenceNode):
        return None
    items = loader.construct_sequence(node, deep=True)
    if tag.startswith("object/apply:numpy") and tag.endswith("multiarray.scalar") and len(items) == 2:
        return _scalar(*items)
    return items if tag in ("tuple", "list") else None


_Loader.add_multi_constructor(_PYTHON, _python_value)


def _scalar(dtype: object, content: object) -> float | int | bool | None:
    if not (isinstance(dtype, str) and isinstance(content, bytes) and _NUMBERS.fullmatch(dtype)):
        return None
    values = np.frombuffer(content, np.dtype(dtype)) if len(content) == np.dtype(dtype).itemsize else np.zeros(0)
    return values[0].item() if len(values) else None


def read_steps(content: bytes, origin: str | Path) -> list[Mapping[str, object]]:
    """Return one mapping per processing step, the movie first.

    Raises
    ------
    SourceError
        It is no YAML of keys and values.
    """
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        # Comments typed on Windows; the keys are ASCII.
        text = content.decode("cp1252", errors="replace")
    try:
        steps = list(yaml.load_all(_CONTROL.sub(" ", text), _Loader))  # a safe loader, see above
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"expected a description in {origin}, found something else: {reason}") from error
    return check_steps(steps, origin)


def check_steps(steps: object, origin: str | Path) -> list[Mapping[str, object]]:
    """Return the steps of a description that are there, one mapping each.

    Raises
    ------
    SourceError
        There is none, or one of them is something else.
    """
    found = [step for step in steps if step is not None] if isinstance(steps, list) else [steps]
    if not found or not all(isinstance(step, Mapping) for step in found):
        raise SourceError(f"expected keys and values in {origin}, found something else; save it with Picasso")
    return [step for step in found if isinstance(step, Mapping)]


def find(steps: Sequence[Mapping[str, object]], keys: Sequence[str]) -> object:
    """Return the value of the first key that is there; a later step overrules an earlier one."""
    return next((step[key] for key in keys for step in reversed(steps) if key in step), None)


def whole_number(value: object, key: str, origin: str | Path, minimum: int = 0) -> int:
    """Return a whole number, which may be written as 12.0 or as text.

    Raises
    ------
    SourceError
        It is none, or below ``minimum``.
    """
    number = _number(value)
    if number is None or number != int(number) or number < minimum:
        wanted = "a whole number" if minimum == 0 else f"a whole number of at least {minimum}"
        raise SourceError(f"expected {key} as {wanted} in {origin}, found {value!r}; correct it there")
    return int(number)


def positive_number(value: object) -> float | None:
    """Return a number above 0; None where the value is none."""
    number = _number(value)
    return number if number is not None and number > 0 else None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None
