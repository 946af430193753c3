import os

import pytest
from stale import stale

TEXTS = ["a.py", "a.pxd", "_b.pyx", "plain.py", "_octets.py", "_octets.pxd"]


@pytest.fixture
def package(tmp_path):
    """A package of which everything is compiled that is to be."""
    for name in TEXTS:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (100, 100))
    for name in ("a.cpython-311-x86_64-linux-gnu.so", "_b.abi3.so"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (200, 200))
    return tmp_path


def test_compiled_from_what_is_there(package):
    """What was compiled after its text was written is taken, and so is what nobody compiled."""
    assert stale(package) == []
    for so in package.glob("*.so"):
        so.unlink()
    assert stale(package) == []


@pytest.mark.parametrize(
    ("edited", "said"),
    [
        ("a.py", ["a.py is newer than a.cpython-311-x86_64-linux-gnu.so"]),
        ("_b.pyx", ["_b.pyx is newer than _b.abi3.so"]),
        (
            "_octets.pxd",
            [
                "_octets.pxd is newer than _b.abi3.so",
                "_octets.pxd is newer than a.cpython-311-x86_64-linux-gnu.so",
            ],
        ),
        ("plain.py", []),
        ("_octets.py", []),
    ],
)
def test_edited(package, edited, said):
    """An edit shows until it is compiled; a declaration concerns everything that is compiled."""
    os.utime(package / edited, (300, 300))
    assert [line.removeprefix(f"{package}/") for line in stale(package)] == said


def test_halves(package):
    """Modules reach into each other: some compiled and some not, or left over, is no build."""
    (package / "_b.abi3.so").unlink()
    (package / "a.py").unlink()
    assert stale(package) == [
        f"{package}/a.cpython-311-x86_64-linux-gnu.so has no text",
        f"{package}/_b.pyx is not compiled, and others are",
    ]
