"""The reference of the command line, written from the parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from dblink_live.cli.main import build_parser

HEAD = """# Command line

Every verb takes `--help`. Exit status: 0 on success, 2 for wrong usage or input (one line on standard error), 1 for a
failure on the way, 130 after Ctrl-C. With `--json` standard output holds one JSON object and nothing else.

This page is written from the program's own parser when the site is built.
"""


def render() -> str:
    """Return the page: one section per verb, with its options and an example."""
    verbs = dict(iter_verbs(build_parser()))
    summary = ["| verb | does |", "|---|---|"]
    summary += [f"| [`{name}`](#{name}) | {_cell(help)} |" for name, (help, _) in verbs.items()]
    return "\n".join([HEAD, *summary, "", *(_section(name, parser) for name, (_, parser) in verbs.items())])


def iter_verbs(parser: argparse.ArgumentParser) -> Iterator[tuple[str, tuple[str, argparse.ArgumentParser]]]:
    """Yield the name of each verb with its one-line help and its own parser, in the order of ``--help``."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, verb in action.choices.items():
                yield name, (helps.get(name, verb.description or ""), verb)


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    lines = [f"## {name}", "", parser.description or "", ""]
    lines += ["```console", _usage(parser), "```", ""]
    for group in parser._action_groups:
        rows = [_row(action) for action in group._group_actions if action.help != argparse.SUPPRESS]
        rows = [row for row in rows if not row.startswith("| `-h`")]
        if rows:
            title = {"positional arguments": "argument", "options": "option"}.get(group.title or "", group.title)
            lines += [f"| {title} | meaning |", "|---|---|", *rows, ""]
    if parser.epilog:
        lines += ["```console", *_example(parser.epilog), "```", ""]
    return "\n".join(lines)


def _usage(parser: argparse.ArgumentParser) -> str:
    return parser.format_usage().removeprefix("usage: ").strip()


def _example(epilog: str) -> list[str]:
    return [line.strip() for line in epilog.splitlines() if line.strip() and not line.strip().endswith(":")]


def _row(action: argparse.Action) -> str:
    if action.option_strings:
        value = "" if action.nargs == 0 else f" {_value_name(action)}"
        name = ", ".join(f"`{flag}{value}`" for flag in action.option_strings)
    else:
        name = f"`{_value_name(action)}`"
    return f"| {_cell(name)} | {_cell(_meaning(action))} |"


def _value_name(action: argparse.Action) -> str:
    if action.metavar is not None:
        return action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    if action.choices is not None:
        return "|".join(str(choice) for choice in action.choices)
    return action.dest.upper().replace("_", "-")


def _meaning(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%").replace("%(default)s", str(action.default))
    return f"{text} (required)" if action.required and action.option_strings else text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
