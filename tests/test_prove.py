"""What a proof leaves behind."""

import gc
from pathlib import Path

import pytest

from hepsw.prove import prove

ROOT = Path(__file__).parents[1]
TABLE = """
[[listen]]
url = "udp://127.0.0.1"
[destinations]
sink = "udp://127.0.0.2"
"""
RULES = "".join(
    f"""
[[rules.main]]
name = "r{at}"
match.src_ip = "10.0.{at}.0/24"
match.dst_port = {[at, at + 1000]}
match.payload = {{ re = "^INVITE sip:{at}" }}
relay = "sink"
"""
    for at in range(1, 100)
)


@pytest.mark.parametrize(
    "text",
    [
        (ROOT / "hepsw.toml").read_text(),
        (ROOT / "hepsw" / "templates" / "opensips.toml").read_text(),
        TABLE + RULES,
        TABLE + RULES.replace("dst_port", "dst_prot"),
    ],
    ids=["shipped", "with tests", "many rules", "many mistakes"],
)
def test_a_proof_leaves_no_cycles(tmp_path, text):
    """What it was made of is freed without the collector, which a reload keeps away from it."""
    file = tmp_path / "hepsw.toml"
    file.write_text(text)
    prove(file)  # what is made once stays
    gc.collect()
    gc.disable()
    try:
        prove(file)
        assert gc.collect() == 0
    finally:
        gc.enable()
