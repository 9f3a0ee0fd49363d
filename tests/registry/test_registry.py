"""Plug-ins by name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from dblink_live import registry
from dblink_live.errors import ConfigError, PluginError
from dblink_live.types import Camera


def test_the_gaussian_localizer_is_built_in() -> None:
    assert registry.get_localizer_factory("gaussian").__name__ == "GaussianLocalizer"  # type: ignore[attr-defined]


def test_an_unknown_name_lists_what_is_installed_and_the_nearest() -> None:
    message = r"unknown localizer .gausian.; installed: .*gaussian.*did you mean .gaussian."
    with pytest.raises(PluginError, match=message):
        registry.get_localizer_factory("gausian")


def test_a_registered_localizer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", "fractions:Fraction", registry.LOCALIZERS)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([point]))
    assert {"auto", "deepstorm", "dense", "gaussian", "mine"} <= set(registry.installed_localizers())
    assert registry.get_localizer_factory("mine").__name__ == "Fraction"  # type: ignore[attr-defined]


def test_a_broken_plug_in_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("broken", "no_such_package:Thing", registry.LOCALIZERS)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([point]))
    with pytest.raises(PluginError, match="no_such_package:Thing"):
        registry.get_localizer_factory("broken")


def plugged_in(camera: object, psf_sigma_px: float | None = None) -> tuple[object, float | None]:
    return camera, psf_sigma_px


def test_a_localizer_registered_in_this_process_is_found_and_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    registry.register_localizer("cell", lambda camera: ("first", camera))  # type: ignore[arg-type, return-value]
    registry.register_localizer("cell", plugged_in)  # type: ignore[arg-type]
    assert "cell" in registry.installed_localizers()
    make = registry.get_localizer_factory("cell")
    assert make("a camera", psf_sigma_px=1.2) == ("a camera", 1.2)
    with pytest.raises(ConfigError, match="fit"):
        make("a camera", fit="free")


@pytest.mark.parametrize("name", ["gaussian", "auto", "mine.safetensors"])
def test_the_name_of_a_built_in_localizer_cannot_be_taken(name: str) -> None:
    with pytest.raises(PluginError, match="choose another"):
        registry.register_localizer(name, plugged_in)  # type: ignore[arg-type]


def test_a_setting_that_a_plug_in_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", f"{__name__}:plugged_in", registry.LOCALIZERS)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([point]))
    make = registry.get_localizer_factory("mine")
    assert make("a camera", psf_sigma_px=1.2) == ("a camera", 1.2)
    with pytest.raises(ConfigError, match=r"'mine' has \(psf_sigma_px\), found fit, min_photons; leave"):
        make("a camera", psf_sigma_px=1.2, fit="free", min_photons=100.0)


def test_an_unknown_option_of_a_built_in_localizer_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'gaussian' has \(psf_sigma_px, .*found box_px; leave"):
        registry.get_localizer_factory("gaussian")(Camera(100.0), box_px=7)
    with pytest.raises(ConfigError, match="'dense' takes, found min_probability='high'"):
        registry.get_localizer_factory("dense")(Camera(100.0), min_probability="high")


def test_looking_a_plug_in_up_imports_no_torch() -> None:
    code = "import sys, dblink_live.registry as r; r.installed_localizers(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
