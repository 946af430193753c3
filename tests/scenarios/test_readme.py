"""The README's table of what people do with OpenSIPS and Kamailio shows what is played here."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
README = (HERE.parents[1] / "README.md").read_text(encoding="utf-8")
SCENARIOS = sorted(file.parent for file in HERE.glob("*/hepsw.toml"))


class Row(NamedTuple):
    """One row of the table."""

    number: str
    today: str
    here: str
    file: str

    @property
    def shown(self):
        """What is quoted from the configuration; after the semicolon stands what is not there."""
        quoted = re.findall(r"`([^`]*)`", re.split(r"(?<=`); ", self.here)[0])
        return [one.replace("\\|", "|") for one in quoted]


def rows():
    """Return the rows of the table, by the name of the scenario."""
    chapter = README.partition("## Coming from OpenSIPS / Kamailio\n")[2].partition("\n## ")[0]
    table = chapter.partition("| | today | here | file |\n")[2].partition("\n\n")[0]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()[1:]]
    found = [Row(*(cell.strip() for cell in line)) for line in cells]
    return {row.file.strip("`"): row for row in found}


def spaced(text):
    """Return a text without the spaces that only align it."""
    return re.sub(r" +", " ", text)


def test_every_scenario_has_its_row():
    """Each folder has one row, under its number and in order."""
    assert sorted(rows()) == [folder.name for folder in SCENARIOS]
    numbers = [row.number for row in rows().values() if row.number]
    assert numbers == [f"S{number}" for number in range(1, 21)]
    for name, row in rows().items():
        number = name.partition("-")[0]
        assert row.number == (f"S{int(number[1:])}" if number != "roles" else "")
        assert row.today


@pytest.mark.parametrize("folder", SCENARIOS, ids=lambda folder: folder.name)
def test_a_row_shows_what_the_file_says(folder):
    """Each line that the row shows is in the configuration."""
    texts = [file.read_text() for file in folder.glob("*.toml") if file.name != "expect.toml"]
    lines = [
        spaced(line.partition("  #")[0].strip()) for text in texts for line in text.splitlines()
    ]
    shown = rows()[folder.name].shown
    assert shown
    for one in shown:
        assert any(one in line for line in lines), one
