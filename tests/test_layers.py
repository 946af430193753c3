"""Imports go one way: a file imports only from ranks above its own."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "hepsw"

RANKS = [
    "errors",
    "pieces",
    "concealed",
    "hep",
    "payload",
    "privacy",
    "view",
    "fields",
    "rule_account",
    "accounting",
    "config",
    "compiler",
    "switch",
    "net",
    "sinks",
    "recall",
    "control",
    "demo",
    "pcapfile",
    "framefile",
    "simulator",
    "prove",
    "daemon",
    "cli",
]
"""From the wire to the commands; what a file may import stands before its own rank, or in it."""

SIDEWAYS = {("net", "switch"), ("net", "compiler"), ("sinks", "net"), ("sinks", "compiler")}
"""Neighbours that must not know each other, whatever their order."""

SHARED = {"hepsw.net.batches", "hepsw.compiler.edits"}
"""What knows nobody: system calls, by which sinks send as listeners read, and `set` and `unset`,
which a destination carries out as rules do."""


def room(module: str) -> str:
    """Return the rank of `hepsw.net.udp`: `net`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(file: Path) -> set[str]:
    """Return every hepsw module that a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found.add(node.module or "")
    return {module for module in found if module.startswith("hepsw.")}


FILES = sorted(file for file in ROOT.rglob("*.py") if file.name != "__main__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_one_way(file):
    """Nothing imports from a rank below its own, nor from a neighbour it must not know."""
    own = file.relative_to(ROOT).parts[0].removesuffix(".py")
    if own == "__init__":
        assert not imports(file)
        return
    for module in imports(file):
        other = room(module)
        assert RANKS.index(other) <= RANKS.index(own), f"{file} imports {module}"
        assert module in SHARED or (own, other) not in SIDEWAYS, f"{file} imports {module}"


def test_every_room_has_a_rank():
    """A new folder or file at the top needs a place in the order."""
    rooms = {
        path.name.partition(".")[0]  # a compiled module has its machine's name behind the dot
        for path in ROOT.iterdir()
        if path.name not in {"__init__.py", "__main__.py", "__pycache__", "py.typed", "templates"}
    }
    assert rooms <= set(RANKS)
