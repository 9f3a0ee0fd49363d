"""``dblink-live models``: the shipped networks, those of the localizers too, or the card of one."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from rich.table import Table

from dblink_live.cli.options import Verbs, add_json, add_verb
from dblink_live.cli.result import Outcome

if TYPE_CHECKING:
    from dblink_live.models import Model


def add_parser(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "models",
        run=run,
        help="list the shipped models, or print the card of one",
        example="dblink-live models filaments",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a shipped model, or the path of a checkpoint")
    add_json(parser)


def run(options: argparse.Namespace) -> Outcome:
    return _list() if options.name is None else _card(options.name)


def _list() -> Outcome:
    from dblink_live.localization.neural.weights import list_localizer_networks
    from dblink_live.models import list_models, list_untrained, load_model

    table = Table("model", "network", "pitch [nm]", "threshold", "parameters")
    rows: list[dict[str, object]] = []
    for name in list_models():
        model = load_model(name, device="cpu")
        row = _facts(model)
        rows.append(row)
        table.add_row(*(str(row[key]) for key in ("name", "architecture", "pixel_size_nm", "threshold", "parameters")))
    localizers = [_localizer_facts(name) for name in list_localizer_networks()]
    if not rows and not localizers:
        return Outcome(text="no models are shipped with this installation", figures={"models": []})
    untrained = list(list_untrained())
    for name in untrained:
        table.add_row(name, "ships untrained", "", "", "")
    for facts in localizers:
        table.add_row(str(facts["name"]), f"localizer {facts['architecture']}", "", "", str(facts["parameters"]))
    return Outcome(text=table, figures={"models": rows, "untrained": untrained, "localizers": localizers})


def _card(name: str) -> Outcome:
    from dblink_live.localization.neural.weights import list_localizer_networks
    from dblink_live.models import list_untrained, load_model

    if name in list_localizer_networks():
        return _localizer_card(name)
    card = list_untrained().get(name)
    if card is not None:
        return Outcome(text=card, figures={"name": name, "card": card, "trained": False})
    model = load_model(name, device="cpu")
    figures = {
        **_facts(model),
        "sha256": model.sha256,
        "envelope": dataclasses.asdict(model.envelope),
        "training": model.training,
        "card": model.card,
    }
    return Outcome(text=f"{model.card.rstrip()}\n- sha256 of the file: {model.sha256}\n", figures=figures)


def _localizer_card(name: str) -> Outcome:
    from dblink_live.localization.neural.weights import network_card

    found = network_card(name)
    figures = {
        **_localizer_facts(name),
        "sha256": found.sha256,
        "envelope": found.facts.envelope,
        "training": found.facts.training,
        "card": found.card,
    }
    return Outcome(text=f"{found.card.rstrip()}\n- sha256 of the file: {found.sha256}\n", figures=figures)


def _localizer_facts(name: str) -> dict[str, object]:
    from dblink_live.localization.neural.weights import network_card

    found = network_card(name)
    return {
        "name": found.facts.name,
        "architecture": found.facts.architecture,
        "psf_sigma_px": found.facts.psf_sigma_px,
        "parameters": found.n_weights,
    }


def _facts(model: Model) -> dict[str, object]:
    return {
        "name": model.name,
        "architecture": model.architecture,
        "pixel_size_nm": model.pixel_size_nm,
        "threshold": model.threshold,
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
    }
