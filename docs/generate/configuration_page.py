"""The reference of settings, written from the structs that validate them."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from typing import Any

import msgspec

from dblink_live.config import RunConfig
from dblink_live.train import DeepStormSettings, LocalizerSettings, TrainingSettings

RUN_HEAD = """# Configuration keys

A configuration is a TOML file with one table per section. Give it as `--config F.toml`, or a single key as
`--set section.key=value`, which wins. An unknown key is an error that names the nearest known one.

```toml
[camera]
pixel_size_nm = 108.0

[windows]
frames = 20
```

The resolved configuration is stored in the run folder: `dblink-live run --config OLD.run --out NEW.run` repeats a run.

This page is written from the program's own structs when the site is built.
"""

TRAINING_HEAD = """# Settings of a training

`dblink-live train --config F.toml` takes one of three kinds of settings, told apart by `kind`. A file names only what
differs from the defaults below.

This page is written from the program's own structs when the site is built.
"""


def render_run() -> str:
    """Return the page of the keys of a run."""
    return RUN_HEAD + "\n" + _tables(RunConfig)


def render_training() -> str:
    """Return the page of the settings of all trainings."""
    kinds = {
        "A reconstruction network": TrainingSettings,
        "The localizer `dense`": LocalizerSettings,
        "The localizer `deepstorm`": DeepStormSettings,
    }
    parts = [TRAINING_HEAD]
    for title, struct in kinds.items():
        parts += [f"## {title}", _own_table(struct)]
        parts += [f"### `[{name}]`\n\n{_own_table(section)}" for name, section in _sections(struct).items()]
    return "\n\n".join(parts)


def documented_fields(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the text below each field of ``struct`` in its source; inherited fields included."""
    texts: dict[str, str] = {}
    for owner in reversed(struct.__mro__):
        if not (isinstance(owner, type) and issubclass(owner, msgspec.Struct)) or owner is msgspec.Struct:
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                texts[field.target.id] = inspect.cleandoc(str(below.value.value)) if is_text else ""  # type: ignore[union-attr]
    return texts


def _tables(struct: type[msgspec.Struct]) -> str:
    return "\n\n".join(
        f"## `[{name}]`\n\n{inspect.getdoc(section)}\n\n{_own_table(section)}"
        for name, section in _sections(struct).items()
    )


def _sections(struct: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    return {
        field.name: field.type
        for field in msgspec.structs.fields(struct)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
    }


def _own_table(struct: type[msgspec.Struct]) -> str:
    texts, sections = documented_fields(struct), _sections(struct)
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(struct):
        if field.name not in sections:
            value, meaning = _value(field.type), " ".join(texts[field.name].split())
            cells = (f"`{field.name}`", value, _default(field), meaning.replace("|", "\\|"))
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    elif field.default is not msgspec.NODEFAULT:
        default = field.default
    else:
        return "required"
    return "not set" if default is None else f"`{json.dumps(msgspec.to_builtins(default))}`"


def _value(annotation: Any) -> str:
    """Describe a type in words: *number above 0*, *one of ...*."""
    schema = msgspec.json.schema(annotation)
    return _in_words(schema).replace("|", "\\|")


def _in_words(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_in_words(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(one)}`" for one in schema["enum"] if one is not None)
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("prefixItems")
        return f"[{', '.join(_in_words(one) for one in items)}]" if items else f"list of {_in_words(schema['items'])}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema]
    return " ".join([words.get(str(kind), "table"), *limits])
