"""Hooks of the docs site: README.md is its first page, and links to files outside docs/ are plain text."""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).parent


def on_files(files: Files, config: Any) -> Files:
    """Returns the files of the site with README.md as its first page."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=readme.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Returns a page with links to files of the repository as plain text.

    Raises:
        PluginError: a link leads to a file that does not exist.
    """
    return re.sub(r"\[([^\]]*)\]\(\.\./((?!\w+\.md)[^)]*)\)", _text, markdown)


def _text(link: re.Match[str]) -> str:
    if not (DOCS.parent / link[2]).exists():
        raise PluginError(f"docs: the link ../{link[2]} leads nowhere")
    return link[1]
