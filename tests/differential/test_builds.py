"""The compiled build, the plain one and the oracle: the same datagrams, the same in every respect.

Verdicts, warnings, every field in changing order, SIP, outputs octet for octet, log lines, counters
and frames cut out of a stream: `transcript` writes all of it down, one process for each build, and
a digest for each part of a block is compared. Where digests differ, the block is told again in full
and the first datagram is shown that differs, or the first few that arrived together.

How much that is: 100,000 datagrams in CI, of which the oracle judges 10,000 as well; in
`make proof` 10,000,000, where one packet in ten has all its fields read, and 200,000 by the oracle.
Some datagrams hold several packets, and some none.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from differential.frames import BLOCKS_A_POOL, FRAMES

import hepsw
from hepsw.hep import COMPILED

TRANSCRIPT = Path(__file__).with_name("transcript.py")
TESTS = Path(__file__).parents[1]
THIS = "compiled" if COMPILED else "plain"
ALL_OF_IT = slice(None)
THE_SWITCH = slice(2, 4)
"""The digests of what the oracle knows, after the number of the block and that of what was read."""

CI = 100_000
CI_ORACLE = 10_000
PROOF = 10_000_000
PROOF_ORACLE = 200_000
SPARSE = 10
"""In `make proof` one packet in so many is read in full."""
if os.environ.get("HEPSW_DIFFERENTIAL"):  # fewer of them, where everything is slow
    CI = CI_ORACLE = int(os.environ["HEPSW_DIFFERENTIAL"])


def told(build, *options):
    """Run `transcript` on a build and return its lines."""
    environment = {name: value for name, value in os.environ.items() if name != "HEPSW_PURE"}
    # The very package that is tested here, wherever it was built.
    folders = [Path(hepsw.__file__).parents[1], TESTS, TESTS.parent]
    environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    if build == "plain" or (build == "oracle" and not COMPILED):
        environment["HEPSW_PURE"] = "1"
    run = subprocess.run(
        [sys.executable, TRANSCRIPT, build, *map(str, options)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4_000:]
    return run.stdout.splitlines()


def pieces(frames) -> Iterator[tuple[int, int]]:
    """Split so many datagrams into blocks for one process each."""
    blocks = frames // FRAMES
    for first in range(0, blocks, BLOCKS_A_POOL):
        yield first, min(first + BLOCKS_A_POOL, blocks) - 1


def compare(builds, frames, part, every=1):
    """Fail on the first block of which two builds say different things."""

    def differing(piece):
        digests = [told(build, *piece, "--every", every) for build in builds]
        assert len(digests[0]) == len(digests[1]) == piece[1] - piece[0] + 1
        for block, (one, other) in enumerate(zip(*digests, strict=True), piece[0]):
            if one.split()[part] != other.split()[part]:
                return block
        return None

    # Each thread waits for a process; every processor has one to run.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for block in pool.map(differing, pieces(frames)):
            if block is not None:
                pool.shutdown(cancel_futures=True)
                pytest.fail(difference(builds, block, every), pytrace=False)


def difference(builds, block, every):
    """Return what is different about a block: the datagrams, and what either build says of them."""
    in_full = [told(build, block, "--in-full", "--every", every) for build in builds]
    if "oracle" in builds:
        in_full = [
            [line for line in lines if line.startswith(("switch\t", "counted\t"))]
            for lines in in_full
        ]
    for one, other in itertools.zip_longest(*in_full, fillvalue="\t"):
        if one != other:
            part, said, *datagrams = one.split("\t")
            _, answer, *_ = other.split("\t")
            at = next(
                (at for at, (a, b) in enumerate(zip(said, answer, strict=False)) if a != b), 0
            )
            near = slice(max(0, at - 60), at + 60)
            return "\n".join(
                [
                    f"block {block}, {part}: they differ from character {at} on",
                    f"  {builds[0]}: …{said[near]}…",
                    f"  {builds[1]}: …{answer[near]}…",
                    *(f"datagram {datagram}" for datagram in datagrams),
                    f"in full, {builds[0]}:\n{said}\nin full, {builds[1]}:\n{answer}",
                ]
            )
    return f"block {block} differed once, and not when it was told again"


both = pytest.mark.skipif(not COMPILED, reason="the run on the compiled build compares both")


@both
def test_the_builds_agree():
    """Compiled or plain, hepsw says and does the same."""
    compare(["compiled", "plain"], CI, ALL_OF_IT)


def test_this_build_agrees_with_the_oracle():
    """What becomes of packets, spoiled ones too, is what the oracle says."""
    compare([THIS, "oracle"], CI_ORACLE, THE_SWITCH)


@both
@pytest.mark.proof
def test_the_builds_agree_at_length():
    """The same for a hundred times as many datagrams, and two hundred pools of them."""
    compare(["compiled", "plain"], PROOF, ALL_OF_IT, SPARSE)


@pytest.mark.proof
def test_this_build_agrees_with_the_oracle_at_length():
    """The same for twenty times as many datagrams."""
    compare([THIS, "oracle"], PROOF_ORACLE, THE_SWITCH)


def test_differences_are_shown(monkeypatch):
    """Of a block that differs, the first group is shown with its datagrams."""
    lines = {
        "compiled": ["read\t[1]\t00", "switch\t[2, 5]\tab\tcd"],
        "plain": ["read\t[1]\t00", "switch\t[2, 6]\tab\tcd"],
    }
    monkeypatch.setattr(sys.modules[__name__], "told", lambda build, *_: lines[build])
    shown = difference(["compiled", "plain"], 7, 1).splitlines()
    assert shown[:3] == [
        "block 7, switch: they differ from character 4 on",
        "  compiled: …[2, 5]…",
        "  plain: …[2, 6]…",
    ]
    assert shown[3:5] == ["datagram ab", "datagram cd"]
