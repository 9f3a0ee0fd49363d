"""Source specifications: what parses, and which single clear error the rest gets."""

from __future__ import annotations

import pytest

from dblink_live.errors import SourceError
from dblink_live.sources import SourceSpec, parse_source


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        pytest.param("tiff:a/b.tif", SourceSpec("tiff", "a/b.tif"), id="path"),
        pytest.param(
            r"tiff:C:\data\run 1.tif?fps=50&frames=7",
            SourceSpec("tiff", r"C:\data\run 1.tif", fps=50.0, frames=7),
            id="windows path",
        ),
        pytest.param(r"raw:C:\x.raw", SourceSpec("raw", r"C:\x.raw"), id="windows raw"),
        pytest.param(
            r"tiff:\\?\C:\long\x.tif", SourceSpec("tiff", r"\\?\C:\long\x.tif"), id="windows extended-length path"
        ),
        pytest.param(
            r"tiff:\\?\C:\long\x.tif?fps=5",
            SourceSpec("tiff", r"\\?\C:\long\x.tif", fps=5.0),
            id="windows extended-length path with options",
        ),
        pytest.param(r"tiff:\\host\share\x.tif", SourceSpec("tiff", r"\\host\share\x.tif"), id="network share"),
        pytest.param("tiff:what?.tif?seed=1", SourceSpec("tiff", "what?.tif", seed=1), id="question mark in a name"),
        pytest.param(
            "sim:mitochondria?fps=12.5&frames=100&seed=0&size=32",
            SourceSpec("sim", "mitochondria", fps=12.5, frames=100, seed=0, size=32),
            id="simulated",
        ),
        pytest.param(
            "mm:core?config=C:\\mm\\a%26b.cfg&exposure_ms=9.5&roi=1,2,30,40&binning=2&frames=5&fps=100",
            SourceSpec(
                "mm:core",
                config="C:\\mm\\a&b.cfg",
                exposure_ms=9.5,
                roi=(1, 2, 30, 40),
                binning=2,
                frames=5,
                fps=100.0,
            ),
            id="core",
        ),
        pytest.param("mm:live", SourceSpec("mm:live"), id="preview"),
        pytest.param("mm:live?port=4900&frames=9", SourceSpec("mm:live", port=4900, frames=9), id="preview elsewhere"),
        pytest.param(
            "mm:acquisition?config=x.cfg&events=C:\\p.toml&channel=DAPI&position=0&save=D:\\kept",
            SourceSpec(
                "mm:acquisition",
                config="x.cfg",
                events="C:\\p.toml",
                channel="DAPI",
                position="0",
                save="D:\\kept",
            ),
            id="acquisition",
        ),
    ],
)
def test_specifications_parse(text: str, spec: SourceSpec) -> None:
    assert parse_source(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("tif:x.tif", r"unknown source 'tif'; did you mean 'tiff'\?", id="scheme"),
        pytest.param("mm:cor?config=x", r"unknown source 'mm:cor'; did you mean 'mm:core'\?", id="mm scheme"),
        pytest.param("x.tif", r"is tiff:x\.tif", id="bare path"),
        pytest.param(r"C:\data\x.tif", r"is tiff:C:\\data\\x\.tif", id="bare windows path"),
        pytest.param("", "expected a source scheme:path", id="empty"),
        pytest.param("tiff", "expected a source scheme:path", id="no colon"),
        pytest.param("tiff:", "expected a path after tiff:", id="no path"),
        pytest.param("tiff:x.tif?fsp=5", r"unknown option 'fsp' of tiff; did you mean 'fps'\?", id="option"),
        pytest.param("tiff:x.tif?binning=2", "unknown option 'binning' of tiff; options are fps", id="foreign option"),
        pytest.param("tiff:x.tif?fps", "expected fps=value", id="no value"),
        pytest.param("tiff:x.tif?fps=1&fps=2", "once, found it twice", id="twice"),
        pytest.param("tiff:x.tif?fps=0", "frames per second above 0, found '0'", id="zero rate"),
        pytest.param("tiff:x.tif?fps=nan", "found 'nan'", id="nan"),
        pytest.param("tiff:x.tif?frames=1.5", "whole number above 0, found '1.5'", id="half a frame"),
        pytest.param("sim:filament", r"unknown specimen sim:filament; did you mean 'filaments'\?", id="specimen"),
        pytest.param("sim:", "there are sim:filaments, sim:mitochondria", id="no specimen"),
        pytest.param("sim:filaments?seed=-1", "at least 0, found '-1'", id="seed"),
        pytest.param("mm:core", "expected the option config of mm:core", id="no config"),
        pytest.param("mm:core?config=x&roi=1,2,3", "x,y,width,height in pixels, found '1,2,3'", id="roi"),
        pytest.param("mm:core?config=x&roi=0,0,0,4", "x,y,width,height in pixels", id="empty roi"),
        pytest.param("mm:acquisition?config=x", "found neither events nor frames", id="nothing to acquire"),
        pytest.param("mm:acquisition?config=x&port=1&frames=2", "found both", id="two cores"),
        pytest.param("mm:live?port=0", "port from 1 to 65535, found '0'", id="port"),
        pytest.param("mm:live?fps=5", "unknown option 'fps' of mm:live", id="pace of a preview"),
        pytest.param("ndtiff:", "expected a path after ndtiff:, found none", id="no dataset"),
        pytest.param("ndtiff:x?start=last", "number of a frame, or newest, found 'last'", id="start"),
        pytest.param("ndtiff:x?start=newest&frames=5", "found start=newest; say start=N", id="frames of the newest"),
        pytest.param("ndtiff:x?watch=yes", "watch of ndtiff to be true or false, found 'yes'", id="watch"),
        pytest.param("ndtiff:x?fps=50", "unknown option 'fps' of ndtiff", id="pace of a follower"),
        pytest.param("zarr:", r"for example zarr:stack\.ome\.zarr", id="no array"),
    ],
)
def test_wrong_specifications_get_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse_source(text)
