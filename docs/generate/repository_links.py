"""Links from a page to files of the repository that are not in ``docs/``."""

from __future__ import annotations

import posixpath
import re

COPIED = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "plugins/micromanager/README.md": "plugins/micromanager/README.md",
    "plugins/micromanager/images/1_acquisition_window.svg": "plugins/micromanager/images/1_acquisition_window.svg",
    "plugins/micromanager/images/2_options.svg": "plugins/micromanager/images/2_options.svg",
    "plugins/micromanager/images/3_script_panel.svg": "plugins/micromanager/images/3_script_panel.svg",
    "plugins/micromanager/images/4_terminal.svg": "plugins/micromanager/images/4_terminal.svg",
    "plugins/napari/README.md": "plugins/napari/README.md",
    "plugins/napari/images/following.png": "plugins/napari/images/following.png",
    "plugins/picasso/README.md": "plugins/picasso/README.md",
    "dblink_live/models/zoo/filaments.md": "reference/models/filaments.md",
    "dblink_live/models/zoo/mitochondria.md": "reference/models/mitochondria.md",
    "dblink_live/models/zoo/dblink.md": "reference/models/dblink.md",
}
"""Files of the repository that are pages or pictures of the site, and their address there."""

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]\n]*)\]\((?P<target>[^)\s]+)\)")


def rewrite(markdown: str, address: str) -> str:
    """Return ``markdown`` of the page at ``address`` with its links to files outside ``docs/`` replaced.

    A file that the site holds is linked where it lies in the site. Of any other the text of the link is kept, without
    the link. Links within ``docs/`` and to other hosts stay as they are: MkDocs checks them.
    """
    sources = {copy: source for source, copy in COPIED.items()}
    here = sources.get(address, posixpath.join("docs", address))

    def replaced(found: re.Match[str]) -> str:
        target, _, anchor = found["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        inside = COPIED.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
        if inside is None:
            return f"`{path}`" if found["text"].startswith("`") else found["text"]
        if inside == "decisions":  # the folder, as GitHub lists it
            inside = "decisions/0001-use-adrs.md"
        relative = posixpath.relpath(inside, posixpath.dirname(address) or ".")
        return f"{found['image']}[{found['text']}]({relative}{'#' + anchor if anchor else ''})"

    return _LINK.sub(replaced, markdown)
