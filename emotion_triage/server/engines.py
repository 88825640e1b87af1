"""Routing engines as the configuration names them: what they may send, how routes are told to them, and secrets."""

from __future__ import annotations

import os
from collections.abc import Container
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from emotion_triage.errors import ConfigError

__all__ = [
    "AmiDestination",
    "AriDestination",
    "AudioSocketWire",
    "ConnectDestination",
    "Destinations",
    "FreeSwitchDestination",
    "FreeSwitchWire",
    "GenesysDestination",
    "GenesysWire",
    "MonitorConfig",
    "Name",
    "Port",
    "RtpWire",
    "Seconds",
    "Secret",
    "Supervisor",
    "TaskRouterDestination",
    "TwilioWire",
    "WebSocketWire",
    "WebhookDestination",
    "Wires",
]

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0.0, le=86400.0)]
Engine = Literal["ami", "ari", "connect", "freeswitch", "genesys", "taskrouter", "webhook"]


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """Where a secret is kept.

    Attributes
    ----------
    file : str, optional
        A file that holds it; white space around it does not count.
    env : str, optional
        An environment variable that holds it.

    Examples
    --------
    >>> os.environ["TRIAGE_EXAMPLE"] = "s3cret"
    >>> Secret(env="TRIAGE_EXAMPLE").read()
    's3cret'
    """

    file: Name | None = None
    env: Name | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.env is None):
            raise ConfigError('a secret is neither { file = "..." } nor { env = "..." }; expected one of them')

    def read(self) -> str:
        """Return the secret.

        Raises
        ------
        ConfigError
            It is not there; the message names the place and never the secret.
        """
        if self.file is None:
            assert self.env is not None
            text = os.environ.get(self.env, "").strip()
            place = f"environment variable {self.env}"
        else:
            place = self.file
            try:
                text = Path(self.file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"secret {place}: cannot be read ({type(error).__name__}); expected text") from None
        if not text:
            raise ConfigError(f"secret {place}: is empty; expected the secret")
        return text


class _Wire(msgspec.Struct, frozen=True, kw_only=True):
    destination: Engine | None = None
    address: Name | None = None
    queue: Name | None = None


class AudioSocketWire(_Wire, frozen=True, kw_only=True):
    """Asterisk AudioSocket, on a port of its own; it has no password: bind it where only Asterisk reaches it.

    Attributes
    ----------
    host, port : str, int
        Where Asterisk connects.
    listen_s : float, optional
        Seconds after which the dialplan is let on; left out, as long as Asterisk sends.
    destination : str, optional
        To whom routes are told, one of the tables of `destinations`.
    address : str, optional
        The parameter that names the call to the destination; left out, the call's own name.
    queue : str, optional
        Where callers of this wire want to go.
    """

    host: Name = "127.0.0.1"
    port: Port = 9092
    listen_s: Seconds | None = None


class WebSocketWire(_Wire, frozen=True, kw_only=True):
    """A wire over WebSocket, at ``/wires/NAME``, that shows a token: chan_websocket.

    Attributes
    ----------
    token : Secret
        The engine sends it as a bearer token, as the password of basic authentication, or as ``/wires/NAME/TOKEN``.
    destination, address, queue : str, optional
        As for AudioSocket.
    """

    token: Secret


class TwilioWire(_Wire, frozen=True, kw_only=True):
    """Media streams of Twilio or Telnyx, at ``/wires/twilio``; whatever is named here has to be shown.

    Attributes
    ----------
    token : Secret, optional
        As for chan_websocket; Telnyx signs no connection and has nothing else.
    auth_token : Secret, optional
        The Twilio account's: each connection has to be signed with it.
    public_url : str, optional
        What comes before ``/wires/twilio`` in ``<Stream url>``, such as ``wss://triage.example.com``: Twilio signs the
        address that it knows, not the one behind a proxy.
    destination, address, queue : str, optional
        As for AudioSocket.
    """

    token: Secret | None = None
    auth_token: Secret | None = None
    public_url: Annotated[str, Meta(pattern=r"^wss?://[^/?#\s]+(/[^?#\s]*)?$", max_length=512)] | None = None

    def __post_init__(self) -> None:
        if self.token is None and self.auth_token is None:
            raise ConfigError("wires.twilio has neither auth_token nor token; expected one of them, or both")
        if (self.auth_token is None) != (self.public_url is None):
            raise ConfigError(
                "wires.twilio has only one of auth_token and public_url; expected both: what is signed is the address"
            )


class FreeSwitchWire(WebSocketWire, frozen=True, kw_only=True):
    """FreeSWITCH's audio forks; what the stream does not say itself is told here, as in the command that starts it."""

    sample_rate_hz: Literal[8000, 16000] = 8000
    mix: Literal["mono", "stereo"] = "mono"
    caller_channel: Literal[0, 1] | None = None


class GenesysWire(_Wire, frozen=True, kw_only=True):
    """Genesys AudioHook, at ``/wires/genesys``: each connection is signed.

    Attributes
    ----------
    api_key : str
        As set in Genesys.
    client_secret : Secret
        In base64, as set in Genesys.
    """

    api_key: Name
    client_secret: Secret


class RtpWire(_Wire, frozen=True, kw_only=True):
    """G.711 over RTP, each call on a port of its own that the API gives; its packets are neither signed nor hidden.

    Attributes
    ----------
    host : str
        The address on which ports are opened: where the engine's media reach it, and nobody else.
    first_port, last_port : int
        Ports that calls are given, even ones alone; all processes share them.
    sources : tuple of str
        Addresses or networks from which a call's packets may come; empty, from anywhere.
    event_type : int
        Payload type of telephone events, as the SDP agreed.
    destination, address, queue : str, optional
        As for AudioSocket.
    """

    host: Name = "127.0.0.1"
    first_port: Annotated[int, Meta(ge=1024, le=65535)] = 20000
    last_port: Annotated[int, Meta(ge=1024, le=65535)] = 21999
    sources: tuple[Name, ...] = ()
    event_type: Annotated[int, Meta(ge=96, le=127)] = 101

    def __post_init__(self) -> None:
        if self.ports.start >= self.ports.stop:
            raise ConfigError(
                f"wires.rtp has no even port from first_port {self.first_port} to last_port {self.last_port}; "
                "expected one for each call"
            )
        try:
            for source in self.sources:
                ip_network(source)
        except ValueError as error:
            raise ConfigError(f"wires.rtp.sources: {error}; expected addresses or networks, as 192.0.2.0/24") from None

    @property
    def ports(self) -> range:
        """The ports that calls are given."""
        return range(self.first_port + self.first_port % 2, self.last_port + 1, 2)

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """`sources` as networks."""
        return tuple(ip_network(source) for source in self.sources)


class Wires(msgspec.Struct, frozen=True, kw_only=True):
    """What routing engines may send; a table that is left out is not served."""

    audiosocket: AudioSocketWire | None = None
    chan_websocket: WebSocketWire | None = None
    twilio: TwilioWire | None = None
    genesys: GenesysWire | None = None
    freeswitch: FreeSwitchWire | None = None
    rtp: RtpWire | None = None


class AmiDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Asterisk's manager interface."""

    host: Name = "127.0.0.1"
    port: Port = 5038
    username: Name
    secret: Secret
    context: Name | None = None


class AriDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Asterisk's REST interface."""

    url: Name
    username: Name
    password: Secret
    context: Name | None = None


class TaskRouterDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Twilio TaskRouter."""

    account_sid: Name
    auth_token: Secret
    workspace_sid: Name
    url: Name = "https://taskrouter.twilio.com"


class ConnectDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Amazon Connect; the credentials are found as AWS's own tools find them, `url` is for an endpoint of one's own."""

    instance_id: Name
    region: Name
    url: Name | None = None


class GenesysDestination(msgspec.Struct, frozen=True, kw_only=True):
    """Genesys Cloud."""

    url: Name
    login_url: Name
    client_id: Name
    client_secret: Secret


class FreeSwitchDestination(msgspec.Struct, frozen=True, kw_only=True):
    """FreeSWITCH's event socket."""

    host: Name = "127.0.0.1"
    port: Port = 8021
    password: Secret
    context: Name | None = None


class WebhookDestination(msgspec.Struct, frozen=True, kw_only=True):
    """A signed webhook; the secret is ``whsec_`` and 24 bytes or more in base64."""

    url: Name
    secret: Secret


class Destinations(msgspec.Struct, frozen=True, kw_only=True):
    """To whom routes are told; the keys of each are those of its sender in `emotion_triage.destinations`."""

    ami: AmiDestination | None = None
    ari: AriDestination | None = None
    connect: ConnectDestination | None = None
    freeswitch: FreeSwitchDestination | None = None
    genesys: GenesysDestination | None = None
    taskrouter: TaskRouterDestination | None = None
    webhook: WebhookDestination | None = None


class Supervisor(msgspec.Struct, frozen=True, kw_only=True):
    """Where a supervisor is rung at each engine; an engine that is left out is not offered to them.

    Attributes
    ----------
    name : str
        As in one of the tables of `access`, of a person.
    ami, ari : str, optional
        Their telephone in Asterisk, such as ``PJSIP/2001``.
    freeswitch : str, optional
        Their telephone as a dial string, such as ``user/2001``.
    taskrouter : str, optional
        ``client:NAME``, a SIP address or a number.
    connect : str, optional
        Their user in Amazon Connect, by id.
    genesys : Secret, optional
        Their own access token of Genesys Cloud, read anew each time.
    """

    name: Name
    ami: Name | None = None
    ari: Name | None = None
    freeswitch: Name | None = None
    taskrouter: Name | None = None
    connect: Name | None = None
    genesys: Secret | None = None

    @property
    def engines(self) -> tuple[str, ...]:
        """The destinations at which they can be rung."""
        return tuple(name for name in self.__struct_fields__[1:] if getattr(self, name) is not None)


class MonitorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who may listen to calls, whisper to their agents and join them; left out, nobody.

    Attributes
    ----------
    supervisors : tuple of Supervisor
        One for each.
    ari_context : str, optional
        Needed with `ari`: the dialplan context with the extensions ``listen``, ``whisper`` and ``join``.
    twilio_from : str, optional
        Needed with `taskrouter`: the number of the account's, or ``client:NAME``, that a supervisor sees.
    twilio_url : str
        Of Twilio's voice API.
    """

    supervisors: tuple[Supervisor, ...]
    ari_context: Name | None = None
    twilio_from: Name | None = None
    twilio_url: Name = "https://api.twilio.com"

    def check(self, destinations: Destinations, people: Container[str]) -> None:
        """Refuse a supervisor who is nobody, or whom no destination rings.

        Raises
        ------
        ConfigError
            One is not a person of `access`, stands twice, or names a destination that has no table.
        """
        names = [each.name for each in self.supervisors]
        for supervisor in self.supervisors:
            name = f"monitor.supervisors {supervisor.name!r}"
            if supervisor.name not in people:
                raise ConfigError(f'{name}: got no such person, expected a name of [[access]] with kind = "person"')
            if names.count(supervisor.name) > 1:
                raise ConfigError(f"{name}: got several tables of this name, expected one")
            for engine in supervisor.engines:
                if getattr(destinations, engine) is None:
                    raise ConfigError(f"{name}: got {engine}, expected a table destinations.{engine} beside it")
            if supervisor.ari is not None and self.ari_context is None:
                raise ConfigError(f"{name}: got no monitor.ari_context beside ari, expected a dialplan context")
            if supervisor.taskrouter is not None and self.twilio_from is None:
                raise ConfigError(
                    f"{name}: got no monitor.twilio_from beside taskrouter, expected a number or client:NAME"
                )
