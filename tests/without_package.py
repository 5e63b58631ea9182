"""Makes a package look as if it were not installed, for one process."""

import sys


class _Hidden:
    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def hide(package):
    sys.meta_path.insert(0, _Hidden(package))
