"""What `hepsw check` says of certificates: real ones, in every state."""

from datetime import timedelta

import pytest
from certificates import certificates
from cryptography.hazmat.primitives import serialization

from hepsw.config.certificates import expires
from hepsw.config.load import load

LISTEN = """
[[listen]]
url = ["tls://127.0.0.1:9061", "udp://127.0.0.1:9060"]
tls = {{ cert = "{cert}", key = "{key}"{more} }}

[destinations]
a = "udp://192.0.2.1:9060"
"""


class Nowhere:
    """A machine that knows no name."""

    def addresses(self, _):
        return []

    def is_own(self, address):
        return address.is_loopback


@pytest.fixture
def made(tmp_path):
    return certificates(tmp_path)


def judged(folder, pair, more=""):
    """Return what loading a listener with this pair makes."""
    file = folder / "hepsw.toml"
    file.write_text(LISTEN.format(cert=pair.cert.name, key=pair.key.name, more=more))
    return load(file, Nowhere(), running=True)


def told(loaded):
    return [f"{problem.code} {problem.text}" for problem in loaded.problems.sorted()]


def test_a_good_pair(tmp_path, made):
    """Nothing is said; the listener of the other scheme has no TLS."""
    loaded = judged(tmp_path, made.server, ', client_ca = "ca.pem", names = "edge1"')
    assert told(loaded) == []
    sealed, plain = loaded.configuration.listeners
    assert plain.tls is None
    assert sealed.tls.names == {"edge1"}
    assert (sealed.tls.cert, sealed.tls.client_ca) == (made.server.cert, made.ca)
    assert {made.server.cert, made.server.key, made.ca} <= loaded.files.keys()


def test_other_content_is_another_configuration(tmp_path, made):
    """So a reload sees a certificate that was renewed under its old name."""
    first, same = (judged(tmp_path, made.server).configuration.listeners for _ in range(2))
    assert first == same
    made.authority.issue("server", dns=["localhost"])
    renewed = judged(tmp_path, made.server).configuration.listeners
    assert renewed[0] != first[0]
    assert renewed[1] == first[1]


def encrypted(pair):
    """Write a key anew with a passphrase."""
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("server.key", lambda made: made.client.key.read_bytes(), "server.key is not the key of"),
        ("server.key", lambda made: encrypted(made.server), "the key in server.key is encrypted"),
        ("server.key", lambda made: made.ca.read_bytes(), "there is no PEM key in server.key"),
        ("server.key", lambda _: b"", "there is no PEM key in server.key"),
        ("server.pem", lambda _: b"\x30\x82", "there is no PEM certificate in server.pem"),
        (
            "server.pem",
            lambda made: made.server.cert.read_bytes()[:90] + b"\n",
            "server.pem and server.key: ",
        ),
        ("ca.pem", lambda made: made.server.key.read_bytes(), "there is no PEM certificate in ca"),
        (
            "ca.pem",
            lambda made: made.ca.read_bytes().replace(b"M", b"!"),
            "ca.pem: ",
        ),
    ],
)
def test_what_cannot_be_served(tmp_path, made, file, content, text):
    """One error, with what it is; nobody is asked for a passphrase."""
    (tmp_path / file).write_bytes(content(made))
    loaded = judged(tmp_path, made.server, ', client_ca = "ca.pem"')
    (said,) = told(loaded)
    assert said.startswith(f"HEP218 {text}")
    assert loaded.configuration is None


def test_a_file_that_is_missing_is_missing(tmp_path, made):
    """And nothing else is said of the pair."""
    made.server.key.unlink()
    assert told(judged(tmp_path, made.server)) == [
        "HEP216 cannot read server.key: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("days", "text"), [(-1, "is expired"), (3, "expires on 20"), (13.9, "expires on 20"), (15, "")]
)
def test_the_days_that_are_left(tmp_path, made, days, text):
    """A fortnight before the end a warning begins; it still runs."""
    begins = timedelta(days=-60)
    pair = made.authority.issue("server", name="x", begins=begins, ends=timedelta(days=days))
    loaded = judged(tmp_path, pair)
    said = told(loaded)
    assert loaded.configuration is not None
    if text:
        assert len(said) == 1
        assert said[0].startswith(f"HEP407 the certificate in server.pem {text}")
    else:
        assert said == []


def test_the_end_is_read_from_the_first_certificate(tmp_path, made):
    """Of a file with its chain the server's own is meant; the end is that to the second."""
    pair = made.authority.issue("server", name="x", ends=timedelta(days=5))
    pair.cert.write_bytes(pair.cert.read_bytes() + made.ca.read_bytes())
    assert told(judged(tmp_path, pair))[0].startswith(
        "HEP407 the certificate in server.pem expires"
    )
    assert expires(pair.cert, pair.key) is not None


RELAY = """
[[listen]]
url = "udp://127.0.0.1:9060"

[destinations.a]
url = "tls://192.0.2.1:9061"
tls = {{ ca = "ca.pem", cert = "{cert}", key = "{key}" }}
"""


def shown(folder, pair):
    """Return what is said of a destination that shows this pair."""
    file = folder / "hepsw.toml"
    file.write_text(RELAY.format(cert=pair.cert.name, key=pair.key.name))
    return told(load(file, Nowhere(), running=True))


def test_what_a_destination_shows_and_believes(tmp_path, made):
    """Judged before it runs, as a listener's."""
    assert shown(tmp_path, made.client) == []
    old = made.authority.issue("old", name="x", ends=timedelta(days=3))
    (said,) = shown(tmp_path, old)
    assert said.startswith("HEP407 the certificate in old.pem expires on 20")
    made.client.key.write_bytes(made.server.key.read_bytes())
    (said,) = shown(tmp_path, made.client)
    assert said == f"HEP218 {made.client.key.name} is not the key of {made.client.cert.name}"
    made.ca.write_bytes(b"no PEM")
    (said,) = shown(tmp_path, made.server)
    assert said == "HEP218 there is no PEM certificate in ca.pem"
    made.ca.unlink()
    (said,) = shown(tmp_path, made.server)
    assert said.startswith("HEP216 cannot read ca.pem")


def test_offline_nothing_is_read(tmp_path):
    """Names alone are judged then."""
    (tmp_path / "hepsw.toml").write_text(LISTEN.format(cert="no.pem", key="no.key", more=""))
    loaded = load(tmp_path / "hepsw.toml")
    assert told(loaded) == []
    assert not [file for file in loaded.files if file.suffix == ".pem"]
