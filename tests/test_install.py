"""The command that installs an extra, by where the package came from."""

from importlib import metadata

import pytest

from keras_coordconv._install import install_command


@pytest.mark.parametrize(
    ("origin", "source"),
    [
        (None, ""),
        (
            '{"url": "file:///my%20project", "dir_info": {}}',
            " @ file:///my%20project",
        ),
        (
            '{"url": "https://host/me/project",'
            ' "vcs_info": {"vcs": "git", "commit_id": "0a1b"}}',
            " @ git+https://host/me/project",
        ),
    ],
)
def test_install_command(monkeypatch, origin, source):
    class Distribution:
        def read_text(self, name):
            return origin if name == "direct_url.json" else "another file"

    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())
    expected = f"pip install 'coordconv-keras[serving]{source}'"
    assert install_command("serving") == expected
