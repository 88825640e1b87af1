"""Who opens an AudioHook connection: the signature of its upgrade request, its age, and that it comes once.

HTTP message signatures as Genesys signs them: https://developer.genesys.cloud/devapps/audiohook/security and
draft-ietf-httpbis-message-signatures-11.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

import msgspec

from emotion_triage.adapters.protocol import Hidden
from emotion_triage.errors import WireError

__all__ = ["KEPT_S", "MAX_AGE_S", "MAX_SKEW_S", "Nonces", "Once", "Upgrade", "verify"]

WIRE = "AudioHook"
MAX_AGE_S = 10
"""Seconds after its making for which a signature is taken."""
MAX_SKEW_S = 3
"""Seconds by which the engine's clock may differ from this one."""
KEPT_S = MAX_AGE_S + 2 * MAX_SKEW_S
"""Seconds for which a nonce has to be kept: from the earliest moment at which its signature is taken to the last."""

_SIGNED = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)
_LONGEST_FIELD = 4096
_SHORTEST_NONCE = 22
_INPUT = re.compile(r'([a-z*][a-z0-9_.*-]*)=(\(("[^"\\]+"(?: "[^"\\]+")*)\)((?:;[a-z]+=(?:"[^"\\]*"|\d{1,15}))+))')
_PARAMETER = re.compile(r';([a-z]+)=(?:"([^"\\]*)"|(\d+))')
_SIGNATURE = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]{43}=):")
_NO_MATCH = f"{WIRE}: got a signature that does not match, expected one made with a known key; check key and secret"


class Upgrade(msgspec.Struct, frozen=True, kw_only=True):
    """A verified request for a connection.

    Attributes
    ----------
    organization_id, session_id, correlation_id : str
        What the engine signed; the messages have to agree with it.
    """

    organization_id: str
    session_id: str
    correlation_id: str


class Once(Protocol):
    """What is taken once: nonces kept in memory, or where several processes find them."""

    def add(self, nonce: str, *, now_s: float) -> bool:
        """Keep a nonce as long as it could be sent again; False if it was there already."""
        ...


class Nonces:
    """Nonces of signatures that were taken, for as long as they could be sent again.

    Only nonces of signatures that match are kept, so that nobody without a secret can fill it.

    Parameters
    ----------
    kept_s : float
        How long a nonce is kept.
    """

    def __init__(self, kept_s: float = KEPT_S) -> None:
        self._kept_s = kept_s
        self._until_s: OrderedDict[str, float] = OrderedDict()

    def add(self, nonce: str, *, now_s: float) -> bool:
        """Keep a nonce; False if it was there already."""
        while self._until_s and next(iter(self._until_s.values())) < now_s:
            self._until_s.popitem(last=False)
        if nonce in self._until_s:
            return False
        self._until_s[nonce] = now_s + self._kept_s
        return True

    def __len__(self) -> int:
        return len(self._until_s)


def verify(
    headers: Mapping[str, str],
    target: str,
    *,
    keys: Mapping[str, Hidden[bytes]],
    nonces: Once,
    now_s: float,
) -> Upgrade:
    """Verify an upgrade request.

    Parameters
    ----------
    headers : mapping of str to str
        The request's header fields, names in any case.
    target : str
        Path and query, as in the request line.
    keys : mapping of str to Hidden bytes
        Client secrets, decoded from base64, by API key.
    nonces : Once
        Those taken before.
    now_s : float
        Seconds since 1970.

    Raises
    ------
    WireError
        If anything is missing, not as signed, too old, from the future, or was sent before. No message tells a wrong
        key from a wrong signature.
    """
    fields = {name.lower(): value.strip() for name, value in headers.items()}
    if any(len(value) > _LONGEST_FIELD for value in (*fields.values(), target)):
        raise WireError(f"{WIRE}: got a header field longer than {_LONGEST_FIELD} characters, expected less")
    said = _INPUT.fullmatch(fields.get("signature-input", ""))
    signed = _SIGNATURE.fullmatch(fields.get("signature", ""))
    if not said or not signed or said[1] != signed[1]:
        raise WireError(
            f"{WIRE}: got no Signature-Input with its Signature, expected one of each; set a client secret in Genesys"
        )
    found = _PARAMETER.findall(said[4])
    parameters = {name: text or number for name, text, number in found}
    names = [name.strip('"') for name in said[3].split(" ")]
    if len(parameters) != len(found) or len(set(names)) != len(names) or not set(_SIGNED) <= set(names):
        raise WireError(
            f"{WIRE}: got a signature that does not cover what it has to, or names it twice, expected "
            f"{', '.join(_SIGNED)}"
        )
    values = {**fields, "@request-target": target, "@authority": fields.get("host", "")}
    if not all(values.get(name) for name in names):
        raise WireError(f"{WIRE}: got a signature of a field that is not there, expected every field that is signed")
    _check_age(parameters, now_s)
    key_id = values["x-api-key"]
    known = keys.get(key_id) if parameters.get("keyid") == key_id else None
    secret = known.reveal() if known else b""
    lines = [f'"{name}": {values[name]}' for name in names]
    text = "\n".join([*lines, f'"@signature-params": {said[2]}'])
    # an unknown key costs as much time as a known one
    wanted = hmac.new(
        secret or secrets.token_bytes(32), text.encode("utf-8", "backslashreplace"), hashlib.sha256
    ).digest()
    if not hmac.compare_digest(wanted, _unbase64(signed[2])) or not secret:
        raise WireError(_NO_MATCH)
    nonce = parameters.get("nonce", "")
    if len(nonce) < _SHORTEST_NONCE:
        raise WireError(f"{WIRE}: got a nonce shorter than {_SHORTEST_NONCE} characters, expected a fresh one")
    if not nonces.add(nonce, now_s=now_s):
        raise WireError(f"{WIRE}: got a signature for the second time, expected each once; the request was replayed")
    return Upgrade(
        organization_id=values["audiohook-organization-id"],
        session_id=values["audiohook-session-id"],
        correlation_id=values["audiohook-correlation-id"],
    )


def _check_age(parameters: Mapping[str, str], now_s: float) -> None:
    if parameters.get("alg", "hmac-sha256") != "hmac-sha256":
        raise WireError(f"{WIRE}: got a signature of another algorithm, expected hmac-sha256")
    created, expires = parameters.get("created", ""), parameters.get("expires", "")
    if not created.isdecimal() or not expires.isdecimal():
        raise WireError(f"{WIRE}: got a signature without created or expires, expected both, in seconds")
    if not -MAX_SKEW_S <= now_s - int(created) <= MAX_AGE_S + MAX_SKEW_S or int(expires) < now_s - MAX_SKEW_S:
        raise WireError(
            f"{WIRE}: got a signature that is too old or from the future, expected one of the last {MAX_AGE_S} s; "
            "check this machine's clock"
        )


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise WireError(_NO_MATCH) from None
