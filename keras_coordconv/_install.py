"""The command that installs an extra of this package."""

import json
import pathlib
import shlex
from importlib import metadata

DISTRIBUTION = "coordconv-keras"


def install_command(extra):
    """Returns a command that installs an extra.

    The package comes from where it was installed from: a folder, a repository,
    or else the package index.
    """
    requirement = f"{DISTRIBUTION}[{extra}]"
    try:
        read = metadata.distribution(DISTRIBUTION).read_text
        origin = json.loads(read("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:  # It runs in the project's folder.
        origin = {"url": pathlib.Path(__file__).parents[1].as_uri()}
    if origin:
        kind = origin.get("vcs_info", {}).get("vcs")
        source = f"{kind}+{origin['url']}" if kind else origin["url"]
        requirement += f" @ {source}"
    return f"pip install {shlex.quote(requirement)}"
