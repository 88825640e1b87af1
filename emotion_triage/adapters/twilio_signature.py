"""Who opens a media stream: Twilio's signature of the address that it was told to connect to.

https://www.twilio.com/docs/usage/security#validating-requests; of an upgrade, the address is the stream's ``wss`` URL
and there are no parameters. It holds no time and no nonce, so that it is good for as long as the address and the token
are: what keeps it from others is TLS.
"""

from __future__ import annotations

import base64
import hmac

from emotion_triage.adapters.protocol import Hidden
from emotion_triage.errors import WireError

__all__ = ["HEADER", "verify"]

HEADER = "X-Twilio-Signature"


def verify(signature: str, url: str, *, auth_token: Hidden[str]) -> None:
    """Verify an upgrade request.

    Parameters
    ----------
    signature : str
        The value of `HEADER`; empty where there was none.
    url : str
        What stands in ``<Stream url>``, whatever proxies made of it on the way.
    auth_token : Hidden of str
        The account's auth token.

    Raises
    ------
    WireError
        If it was not made of this address with this token. The message shows neither.

    Examples
    --------
    >>> verify("MJUzMdcildVoPf5LdgAxlJgnGts=", "wss://triage.example/wires/twilio", auth_token=Hidden("12345"))
    """
    wanted = base64.b64encode(hmac.digest(auth_token.reveal().encode(), url.encode(), "sha1"))
    # bytes, since text is compared only where it is ASCII
    if not hmac.compare_digest(wanted, signature.encode("utf-8", "backslashreplace")):
        raise WireError(
            "Twilio: got a signature that does not match, expected one of the stream's address made with the account's "
            "auth token; check auth_token, and that public_url is what stands in <Stream url>"
        )
