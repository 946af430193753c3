"""The recorded and hand-built frames of `tests/vectors`, as values.

`origin` in the files says who sent each of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "vectors"


@dataclass(frozen=True)
class Vector:
    """One line of the files."""

    name: str
    kind: str
    expect: str
    warn: tuple[str, ...]
    fields: dict[str, Any]
    data: bytes

    @property
    def reason(self) -> str | None:
        """The slug of a malformed one."""
        return self.expect.removeprefix("malformed:") if self.expect != "ok" else None


def _load(file: str) -> list[Vector]:
    rows = [json.loads(line) for line in (FOLDER / file).read_text().splitlines()]
    return [
        Vector(
            row["name"],
            row["kind"],
            row["expect"],
            tuple(row["warn"]),
            row.get("fields", {}),
            bytes.fromhex(row["hex"]),
        )
        for row in rows
    ]


ALL = _load("frames.jsonl") + _load("real-agents.jsonl")
BY_NAME = {vector.name: vector for vector in ALL}
DATAGRAMS = [vector for vector in ALL if vector.kind == "datagram"]
STREAMS = [vector for vector in ALL if vector.kind == "stream"]
USABLE = [vector for vector in DATAGRAMS if vector.expect == "ok"]


def named(vector: Vector) -> str:
    """Show a vector by its name in pytest."""
    return vector.name
