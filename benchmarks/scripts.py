"""The scripts that BertViz's page takes from the web, fetched with npm so that the browser can stay cut off."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from hatch_build import find_node

# Package and version, the file inside, and the name under which the page asks for it. npm has no jQuery 2.0.0,
# which BertViz names; the next one on npm does for it what that one did.
_NEEDED = (
    ("requirejs@2.3.6", "require.js", "require.min.js"),
    ("d3@5.7.0", "dist/d3.min.js", "d3.min.js"),
    ("jquery@2.1.0", "dist/jquery.min.js", "jquery.min.js"),
)


class NoScripts(Exception):  # noqa: N818 - reads as what happened
    """The scripts could not be had; the text says why."""


def fetch(scratch: Path) -> dict[str, str]:
    """The scripts' text by the name under which the page asks for them.

    Args:
        scratch: an existing folder that the archives may be put in.

    Raises:
        NoScripts: there is no npm, or it could not fetch them.
    """
    node = find_node()
    if node is None:
        raise NoScripts("there is no npm")
    found = {}
    for package, inside, name in _NEEDED:
        command = [*node.npm, "pack", "--silent", "--pack-destination", str(scratch), package]
        result = subprocess.run(
            command, cwd=scratch, env=node.environment(), capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise NoScripts(f"npm could not fetch {package}")
        archive = scratch / result.stdout.strip().splitlines()[-1]
        with tarfile.open(archive) as files:
            script = files.extractfile(f"package/{inside}")
            if script is None:
                raise NoScripts(f"{package} has no file {inside}")
            found[name] = script.read().decode("utf-8")
    return found
