"""Settings: defaults, files, overrides, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from dblink_live.config import RunConfig, changed_settings, load_run_config, run_config_from_plain
from dblink_live.errors import ConfigError


def test_overrides_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[windows]\nframes = 20\n[camera]\npixel_size_nm = 108\n", encoding="utf-8")
    config = load_run_config(path, ["windows.frames=30", "reconstruct.model=mitochondria"])
    assert (config.windows.frames, config.camera.pixel_size_nm) == (30, 108.0)
    assert (config.reconstruct.model, config.reconstruct.lookahead) == ("mitochondria", 8)


def test_a_stored_configuration_reads_back_the_same() -> None:
    config = load_run_config(None, ["camera.pixel_size_nm=65", "localizer.psf_sigma_px=1.2"])
    assert run_config_from_plain(config.to_plain()) == config
    assert run_config_from_plain(RunConfig().to_plain()) == RunConfig()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("camera.pixel_sise_nm=1", "did you mean 'camera.pixel_size_nm'", id="misspelt key"),
        pytest.param("camra.pixel_size_nm=1", "unknown setting 'camra'; did you mean 'camera", id="misspelt section"),
        pytest.param("camera.pixel_size_nm=0", "> 0.0 for camera.pixel_size_nm, found 0", id="zero"),
        pytest.param("camera.pixel_size_nm=-65", "found -65", id="negative"),
        pytest.param("windows.frames=ten", "windows.frames, found 'ten'", id="a word for a number"),
        pytest.param("windows.frames=0", "windows.frames, found 0", id="no frames"),
        pytest.param("localizer.options=3", r"a table \[localizer.options\], found 3", id="a number for a table"),
        pytest.param("localizer.options.a={b=1}", "localizer.options", id="a table for a value"),
        pytest.param("localizer.name.first=x", r"unknown setting|expected `str`", id="a key too many"),
        pytest.param("localizer.options.=1", "section.key=value", id="no key"),
        pytest.param("windows", "section.key=value", id="no value"),
    ],
)
def test_a_wrong_override_is_one_clear_error(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_run_config(None, [override])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        load_run_config(tmp_path / "nothing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[camera", encoding="utf-8")
    with pytest.raises(ConfigError, match="expected TOML"):
        load_run_config(broken)


def test_settings_of_version_0_1_are_still_read() -> None:
    old = {"localizer": {"least_photons": 100.0, "largest_precision_px": 0.5, "largest_misfit": 3.0}}
    localizer = run_config_from_plain(old).localizer
    assert (localizer.min_photons, localizer.max_precision_px, localizer.max_misfit) == (100.0, 0.5, 3.0)
    assert load_run_config(None, ["localizer.least_photons=100"]).localizer.min_photons == 100.0


def test_an_old_name_beside_its_new_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="least_photons is now called"):
        run_config_from_plain({"localizer": {"least_photons": 100.0, "min_photons": 200.0}})


def test_options_of_a_plug_in_are_handed_on_by_their_own_names(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[localizer]\nname = 'mine'\n[localizer.options]\nbox_px = 7\nkind = 'mle'\n", encoding="utf-8")
    config = load_run_config(path, ["localizer.options.box_px=9", "localizer.fit=free"])
    options = {"psf_sigma_px": None, "fit": "free", "box_px": 9, "kind": "mle"}
    assert config.localizer.to_options() == options
    assert run_config_from_plain(config.to_plain()) == config
    assert changed_settings(RunConfig(), config)["localizer.options"] == ({}, {"box_px": 9, "kind": "mle"})


def test_a_setting_is_no_option_of_a_plug_in() -> None:
    config = load_run_config(None, ["localizer.options.fit=free"])
    with pytest.raises(ConfigError, match=r"expected localizer\.fit, found localizer\.options\.fit"):
        config.localizer.to_options()


def test_a_device_is_only_told_to_a_localizer_where_it_is_set() -> None:
    assert "device" not in RunConfig().localizer.to_options()
    assert load_run_config(None, ["localizer.device=cuda"]).localizer.to_options()["device"] == "cuda"
