"""Files of the project as pages and pictures of the site.

MkDocs calls these two functions. In the project's folder every link leads to a
file; on the site it leads to the page made of that file, of a notebook with the
outputs that are saved in it. What has no page is in the repository.
"""

import os
import pathlib
import posixpath
import re

from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "experiments/index.md",
    "examples/tutorial.ipynb": "tutorial.md",
    "saved_models/README.md": "trained_models.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files, config):
    for path, page in PAGES.items():
        if path.endswith(".ipynb"):
            text, made = MarkdownExporter().from_filename(str(ROOT / path))
            for name, picture in made["outputs"].items():
                name = posixpath.join(posixpath.dirname(path), name)
                files.append(File.generated(config, name, content=picture))
        else:
            text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for picture in (ROOT / "examples/results").glob("*.png"):
        page = f"images/{picture.name}"
        files.append(File.generated(config, page, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, config, files):
    own_page = page.file.src_uri
    origins = {page: path for path, page in PAGES.items()}
    folder = (ROOT / origins.get(own_page, f"docs/{own_page}")).parent

    def on_the_site(match):
        mark, text, target, anchor = match.groups()
        if "://" in target:
            return match[0]
        path = os.path.relpath(folder / target, ROOT)
        if f"{path}/README.md" in PAGES:
            path = f"{path}/README.md"
        if path.startswith("examples/results/") and path.endswith(".png"):
            found = f"images/{pathlib.Path(path).name}"
        else:
            found = PAGES.get(path, path.removeprefix("docs/"))
        if found not in files.src_uris:
            if mark or not (ROOT / path).exists():
                return match[0]  # MkDocs reports it.
            return f"[{text}]({config.repo_url}/tree/main/{path})"
        found = posixpath.relpath(found, posixpath.dirname(own_page) or ".")
        return f"{mark}[{text}]({found}{anchor or ''})"

    return LINK.sub(on_the_site, markdown)
