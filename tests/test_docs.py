"""Documentation: what its pages name is there, and their links lead somewhere."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# What the reader is to write.
OWN = re.compile(r"mine|FAMILY")


def names_of(body):
    """Names that statements define, and those of the members of classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
            if isinstance(node, ast.ClassDef):
                yield from (f"{node.name}.{name}" for name in names_of(node.body))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def is_there(name):
    """Whether a dotted name is a package, a module or something that a module has."""
    parts = name.split(".")
    for number in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:number])
        found = path.with_suffix(".py") if path.with_suffix(".py").is_file() else \
            path / "__init__.py"
        if found.is_file():
            rest = ".".join(parts[number:])
            return not rest or rest in names_of(ast.parse(found.read_text(encoding="utf-8")).body)
    return False


def anchor(title):
    """Anchor of a heading, as Markdown's readers make it."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"],
                         ids=lambda page: page.name)
def test_what_a_page_names_is_there(page):
    text = re.sub(r"(?s)```.*?```", "", page.read_text(encoding="utf-8"))
    names = set(re.findall(r"`((?:rtl|sim|boards)(?:\.\w+)+)\b[^`]*`", text))
    paths = set(re.findall(r"`((?:rtl|sim|boards|tests|docs)/[\w/.]+)", text))
    wrong = [name for name in names if not is_there(name)]
    wrong += [path for path in paths if not OWN.search(path) and not (ROOT / path).exists()]
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, place = link.partition("#")
        target = page.parent / file if file else page
        if link.startswith("http"):
            continue
        if not target.exists() or place and place not in map(
                anchor, re.findall(r"(?m)^#+ (.*)$", target.read_text(encoding="utf-8"))):
            wrong.append(link)
    assert not wrong
