"""What people do with OpenSIPS and Kamailio as HEP switches, done with hepsw.

Each folder here is a scenario, see `playing`. README's table "Coming from OpenSIPS / Kamailio"
shows the lines that matter of each.
"""

from contextlib import ExitStack
from pathlib import Path

import pytest
from scenarios.playing import Stage

from hepsw.config import diagnostics
from hepsw.config.load import load

HERE = Path(__file__).parent
SCENARIOS = sorted(file.parent for file in HERE.glob("*/hepsw.toml"))


def each():
    return [pytest.param(folder, id=folder.name) for folder in SCENARIOS]


def test_they_are_all_there():
    """S1 to S20 have a folder each."""
    numbers = [folder.name.partition("-")[0] for folder in SCENARIOS]
    assert [number for number in numbers if number.startswith("s")] == [
        f"s{number:02}" for number in range(1, 21)
    ]


@pytest.mark.parametrize("folder", each())
def test_it_loads(folder):
    """The file that an operator would write loads as it stands, without findings, and has tests."""
    loaded = load(folder / "hepsw.toml", running=True)
    assert diagnostics.render(loaded.problems.sorted(), loaded.texts) == ""
    assert loaded.configuration is not None
    assert loaded.configuration.cases


@pytest.mark.parametrize("folder", each())
def test_it_says_what_it_is(folder):
    """The file begins with what it does and who does it today."""
    text = (folder / "hepsw.toml").read_text()
    comment = text.partition("\n\n")[0]
    assert all(line.startswith("#") for line in comment.splitlines())
    number = folder.name.partition("-")[0]
    begins = "# Besides" if number == "roles" else f"# S{int(number[1:])}. "
    assert comment.startswith(begins)
    assert "\n# Today: " in comment


@pytest.mark.parametrize("folder", each())
def test_it_does_what_it_says(folder, tmp_path):
    """Each packet meets the rules, outputs and fate that are expected, and none is unaccounted.

    What no rule edits arrives octet for octet; of what one edits, only those chunks are changed.
    """
    with ExitStack() as stack:
        stage = Stage(folder, tmp_path, stack)
        stage.play()
        counters = stage.close()["switch"]
        expected = stage.expected
        assert counters["counters"] == expected.get("counters", {})
        for name, by_labels in expected.get("observed", {}).items():
            found = counters["observed"][name]
            assert found.keys() == by_labels.keys()
            for labels, numbers in by_labels.items():
                assert {key: found[labels][key] for key in numbers} == pytest.approx(numbers)
        for row in expected.get("row", []):
            assert stage.select(row["store"], row["select"]) == [(row["gives"],)]
