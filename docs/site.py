"""The docs site: README.md is its first page, links to files outside docs/ are text, comments describe attributes."""

import ast
import re
from pathlib import Path
from typing import Any

import griffe
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


def on_page_content(html: str, **_: Any) -> str:
    """Returns a page in which short names and the options of commands break nowhere (site.css, `.whole`)."""
    html = re.sub(r"<code>([^<\s]{1,32})</code>", r'<code class="whole">\1</code>', html)
    return re.sub(r"<code>.*?</code>", _whole_options, html, flags=re.DOTALL)


def _whole_options(code: re.Match[str]) -> str:
    return re.sub(r"(?<=[\s>])(--[a-z][a-z-]+)", r'<span class="whole">\1</span>', code[0])


def _text(link: re.Match[str]) -> str:
    if not (DOCS.parent / link[2]).exists():
        raise PluginError(f"docs: the link ../{link[2]} leads nowhere")
    return link[1]


class Comments(griffe.Extension):
    """Describes an attribute by its `Field(description=...)`, or by the comment beside or above it."""

    def on_attribute_instance(self, *, node: Any, attr: griffe.Attribute, **_: Any) -> None:
        """Gives an attribute the docstring that the reference shows."""
        if attr.docstring is None and isinstance(node, ast.AnnAssign) and attr.lineno and attr.endlineno:
            lines = attr.lines_collection[attr.filepath]
            said = _description(node.value) or _comment(lines, attr.lineno, attr.endlineno)
            attr.docstring = griffe.Docstring(said, parent=attr) if said else None


def _description(value: ast.expr | None) -> str:
    found = [key.value for key in value.keywords if key.arg == "description"] if isinstance(value, ast.Call) else []
    parts = found[0].values if found and isinstance(found[0], ast.JoinedStr) else found
    return "".join(str(part.value) if isinstance(part, ast.Constant) else _in_code(part) for part in parts)


def _in_code(part: ast.expr) -> str:
    """A placeholder of an f-string, such as the name of a constant."""
    return f"`{ast.unparse(part.value if isinstance(part, ast.FormattedValue) else part)}`"


def _comment(lines: list[str], first: int, last: int) -> str:
    beside = re.search(r"  # (.*)$", lines[last - 1])
    if beside:
        return beside[1]
    above = first - 1
    while above and lines[above - 1].lstrip().startswith("# "):
        above -= 1
    return " ".join(line.strip(" #") for line in lines[above : first - 1])
