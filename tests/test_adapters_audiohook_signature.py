"""Genesys' signature of an upgrade request: what is taken, and what is not."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.adapters.audiohook_signature import MAX_AGE_S, MAX_SKEW_S, Nonces, Upgrade, verify
from emotion_triage.adapters.protocol import Hidden
from emotion_triage.errors import WireError

# The example of Genesys' own documentation.
KEY = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"
SECRET = base64.b64decode("TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU=")
TARGET = "/api/v1/voicebiometrics/ws"
CREATED = 1641013200
COVERED = (
    '("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id" "audiohook-correlation-id" '
    '"x-api-key")'
)
PARAMETERS = (
    f'{COVERED};keyid="{KEY}";nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";created={CREATED};expires=3282026430'
)
HEADERS = {
    "Host": "audiohook.example.com",
    "Audiohook-Organization-Id": "d7934305-0972-4844-938e-9060eef73d05",
    "Audiohook-Session-Id": "30b0e395-84d3-4570-ac13-9a62d8f514c0",
    "Audiohook-Correlation-Id": "e160e428-53e2-487c-977d-96989bf5c99d",
    "X-API-KEY": KEY,
    "Signature-Input": f"sig1={PARAMETERS}",
    "Signature": "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:",
}


def signed(parameters: str, *, secret: bytes = SECRET, **headers: str) -> dict[str, str]:
    """The example's request, signed anew over other parameters."""
    fields = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    values = {name.lower(): value for name, value in fields.items()}
    values |= {"@request-target": TARGET, "@authority": values["host"]}
    names = parameters[1 : parameters.index(")")].replace('"', "").split()
    text = "\n".join([*(f'"{name}": {values[name]}' for name in names), f'"@signature-params": {parameters}'])
    digest = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return fields | {
        "Signature-Input": f"sig1={parameters}",
        "Signature": f"sig1=:{base64.b64encode(digest).decode()}:",
    }


def check(
    headers: dict[str, str], *, now_s: float = CREATED + 1, nonces: Nonces | None = None, target: str = TARGET
) -> Upgrade:
    taken = Nonces() if nonces is None else nonces
    return verify(headers, target, keys={KEY: Hidden(SECRET)}, nonces=taken, now_s=now_s)


def test_the_example_of_the_documentation_is_verified() -> None:
    """The request that Genesys shows in its documentation is taken, with the names that it signed."""
    assert check(HEADERS) == Upgrade(
        organization_id="d7934305-0972-4844-938e-9060eef73d05",
        session_id="30b0e395-84d3-4570-ac13-9a62d8f514c0",
        correlation_id="e160e428-53e2-487c-977d-96989bf5c99d",
    )


def test_a_request_that_is_sent_again_is_refused() -> None:
    """A signature is taken once, for as long as it is fresh."""
    nonces = Nonces()
    check(HEADERS, nonces=nonces)
    for now_s in (CREATED - MAX_SKEW_S, CREATED + MAX_AGE_S + MAX_SKEW_S):
        with pytest.raises(WireError, match="second time"):
            check(HEADERS, nonces=nonces, now_s=now_s)


def test_nonces_are_forgotten_once_their_signatures_are_too_old() -> None:
    """What is kept against replays does not grow with the number of connections."""
    nonces = Nonces()
    for i in range(1000):
        assert nonces.add(f"nonce-{i}", now_s=float(i))
    assert len(nonces) < 30


def test_a_refused_request_leaves_no_nonce() -> None:
    """A wrong signature does not use up its nonce, so that nobody can block another's."""
    nonces = Nonces()
    with pytest.raises(WireError):
        check(HEADERS | {"Signature": f"sig1=:{'A' * 43}=:"}, nonces=nonces)
    assert len(nonces) == 0
    check(HEADERS, nonces=nonces)


@pytest.mark.parametrize("now_s", [CREATED - MAX_SKEW_S - 1, CREATED + MAX_AGE_S + MAX_SKEW_S + 1, 0, 2e9])
def test_a_signature_is_taken_while_it_is_fresh(now_s: float) -> None:
    """A signature of the future, or of more than seconds ago, is refused however long it says it lives."""
    with pytest.raises(WireError, match="too old or from the future"):
        check(HEADERS, now_s=now_s)


def test_a_signature_says_itself_when_it_expires() -> None:
    """A signature past its own end is refused."""
    with pytest.raises(WireError, match="too old"):
        check(signed(PARAMETERS.replace("3282026430", str(CREATED))), now_s=CREATED + MAX_SKEW_S + 1)


@pytest.mark.parametrize(
    "name", ["Host", "Audiohook-Organization-Id", "Audiohook-Session-Id", "Audiohook-Correlation-Id", "X-API-KEY"]
)
def test_every_field_that_is_signed_counts(name: str) -> None:
    """Changed or gone, each field that is signed makes the request refused."""
    with pytest.raises(WireError, match="does not match"):
        check(HEADERS | {name: "other"})
    with pytest.raises(WireError, match="not there"):
        check({field: value for field, value in HEADERS.items() if field != name})


def test_the_path_is_signed() -> None:
    """A signature for another path is refused."""
    with pytest.raises(WireError, match="does not match"):
        check(HEADERS, target="/other")


def test_an_unknown_key_and_a_wrong_secret_look_alike() -> None:
    """Nothing tells whether a key is known."""
    wrong = signed(PARAMETERS, secret=b"wrong")
    unknown = signed(PARAMETERS.replace(KEY, "other"), X_API_KEY="other")
    messages = []
    for headers in (wrong, unknown):
        with pytest.raises(WireError) as raised:
            check(headers)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_an_empty_secret_verifies_nobody() -> None:
    """A key whose secret was left empty lets nobody in."""
    with pytest.raises(WireError, match="does not match"):
        verify(signed(PARAMETERS, secret=b""), TARGET, keys={KEY: Hidden(b"")}, nonces=Nonces(), now_s=CREATED + 1)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (' "x-api-key")', ")", "does not cover"),
        ('"@authority" ', "", "does not cover"),
        ('("@request-target"', '("@authority" "@request-target"', "does not cover"),
        (";alg", ";created=1641013200;alg", "does not cover"),
        ("hmac-sha256", "rsa-pss-sha512", "another algorithm"),
        (f";created={CREATED}", "", "without created"),
        (";expires=3282026430", "", "without created or expires"),
        ("VGhpc0lzQVVuaXF1ZU5vbmNl", "short", "nonce shorter"),
        (f'keyid="{KEY}"', 'keyid="other"', "does not match"),
    ],
)
def test_what_a_signature_has_to_say(old: str, new: str, word: str) -> None:
    """A signature with the right secret is refused if it leaves out what protects it."""
    assert old in PARAMETERS
    with pytest.raises(WireError, match=word):
        check(signed(PARAMETERS.replace(old, new)))


@pytest.mark.parametrize(
    "change",
    [
        {"Signature": ""},
        {"Signature-Input": ""},
        {"Signature": "sig2=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:"},
        {"Signature": "sig1=NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4="},
        {"Signature": "sig1=:AAAA:"},
        {"Signature-Input": f"sig1={PARAMETERS}, sig2={PARAMETERS}"},
        {"Signature-Input": "sig1=" + "(" * 4000},
        {"X-Long": "x" * 5000},
    ],
)
def test_headers_that_are_none(change: dict[str, str]) -> None:
    """A request without a signature, with two, or with one that cannot be read is refused."""
    with pytest.raises(WireError) as raised:
        check(HEADERS | change)
    assert SECRET.decode() not in str(raised.value)


@given(st.dictionaries(st.sampled_from(sorted(HEADERS)), st.text(max_size=300)), st.text(max_size=50))
def test_no_header_raises_anything_else(change: dict[str, str], target: str) -> None:
    """Whatever stands in the headers, the answer is a WireError."""
    with pytest.raises(WireError):
        check(HEADERS | change, target=f"/{target}?")
