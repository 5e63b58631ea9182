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
        origin = read("direct_url.json")
    except metadata.PackageNotFoundError:  # It runs in the project's folder.
        folder = pathlib.Path(__file__).parents[1]
        origin = json.dumps({"url": folder.as_uri()})
    if origin:
        origin = json.loads(origin)
        kind = origin.get("vcs_info", {}).get("vcs")
        source = f"{kind}+{origin['url']}" if kind else origin["url"]
        requirement += f" @ {source}"
    return f"pip install {shlex.quote(requirement)}"
