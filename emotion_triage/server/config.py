"""One TOML file to everything that the server is told; secrets come from files or the environment, never from here."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from emotion_triage.adapters.wire import MAX_MESSAGE_BYTES
from emotion_triage.affect import Language
from emotion_triage.errors import ConfigError
from emotion_triage.settings import checked, toml_settings, toml_text

__all__ = [
    "Access",
    "AmiDestination",
    "AriDestination",
    "AudioSocketWire",
    "Config",
    "ConnectDestination",
    "Destinations",
    "FreeSwitchDestination",
    "FreeSwitchWire",
    "GenesysDestination",
    "GenesysWire",
    "HttpConfig",
    "LedgerConfig",
    "Limits",
    "Secret",
    "TaskRouterDestination",
    "WebSocketWire",
    "WebhookDestination",
    "Wires",
]

MIN_TOKEN_CHARACTERS = 24
"""Fewer can be guessed; 24 of base64 are 144 bits."""

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


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who may use the API and the page.

    Attributes
    ----------
    name : str
        Whose token it is; it stands beside each decision in the log.
    kind : {"person", "machine"}
        Only a person decides; a machine (the routing engine, a desktop) reads and says what it knows.
    token : Secret
        24 characters or more.
    expires_at : datetime, optional
        From then on it is refused; with a time zone.
    """

    name: Name
    kind: Literal["person", "machine"]
    token: Secret
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API, the page and the WebSocket wires are served.

    Attributes
    ----------
    host, port : str, int
        Port 0: any that is free.
    tls_certificate, tls_key : str, optional
        PEM files; both or neither.
    session_hours : float
        How long a person stays signed in to the page.
    language : {"en", "fr"}
        Of the page, for a browser that asks for neither.
    header_s : float
        Seconds that a request may take to arrive.
    max_connections : int
        Connections at once, those of the wires among them.
    """

    host: Name = "127.0.0.1"
    port: Port = 8080
    tls_certificate: Name | None = None
    tls_key: Name | None = None
    session_hours: Annotated[float, Meta(gt=0.0, le=24.0)] = 10.0
    language: Language = "en"
    header_s: Seconds = 10.0
    max_connections: Annotated[int, Meta(ge=1)] = 2000

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigError("http has only one of tls_certificate and tls_key; expected both or neither")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one process takes on.

    Attributes
    ----------
    max_calls : int
        Connections of wires at once; one more is refused.
    max_message_bytes : int
        Longest message of a wire, and longest body of a request.
    idle_s, gap_s : float
        Silence of a connection after which it is given up, and after which a call's time goes on without audio.
    tick_s : float
        How often what came in is scored, all calls in one pass.
    max_waiting_s : float
        Audio of one call that may wait to be scored; then the oldest is dropped and counted as lost.
    ledger_s : float
        How long a call waits for the ledger before it goes on without.
    kept_s : float
        How long a call that ended can still be looked at and judged.
    drain_s : float
        How long calls may go on after SIGTERM.
    """

    max_calls: Annotated[int, Meta(ge=1)] = 500
    max_message_bytes: Annotated[int, Meta(ge=1024, le=2**20)] = MAX_MESSAGE_BYTES
    idle_s: Seconds = 60.0
    gap_s: Seconds = 2.0
    tick_s: Annotated[float, Meta(ge=0.02, le=1.0)] = 0.1
    max_waiting_s: Annotated[float, Meta(ge=0.5, le=60.0)] = 5.0
    ledger_s: Annotated[float, Meta(gt=0.0, le=10.0)] = 1.0
    kept_s: Seconds = 3600.0
    drain_s: Annotated[float, Meta(ge=0.0, le=3600.0)] = 30.0


class LedgerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger; without one every caller's standing is clear and no decision is kept.

    Attributes
    ----------
    url : str
        As `Ledger.open` takes it; a password belongs in ``~/.pgpass``.
    key : Secret
        32 characters or more.
    previous_keys : tuple of Secret
        Those before it, the oldest first.
    """

    url: Name
    key: Secret
    previous_keys: tuple[Secret, ...] = ()


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
    """A wire over WebSocket, at ``/wires/NAME``: chan_websocket, Twilio or Telnyx.

    Attributes
    ----------
    token : Secret
        The engine sends it as a bearer token, as the password of basic authentication, or as ``/wires/NAME/TOKEN``.
    destination, address, queue : str, optional
        As for AudioSocket.
    """

    token: Secret


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


class Wires(msgspec.Struct, frozen=True, kw_only=True):
    """What routing engines may send; a table that is left out is not served."""

    audiosocket: AudioSocketWire | None = None
    chan_websocket: WebSocketWire | None = None
    twilio: WebSocketWire | None = None
    genesys: GenesysWire | None = None
    freeswitch: FreeSwitchWire | None = None


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
    """Amazon Connect; the credentials are found as AWS's own tools find them."""

    instance_id: Name
    region: Name


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


class Config(msgspec.Struct, frozen=True, kw_only=True):
    r"""Everything that the server is told.

    Attributes
    ----------
    policy, model : str, optional
        Files; those that ship by default.
    processes : int
        How many share the ports.
    team : tuple of str
        Agents whose exposure the page shows, counted from contacts.
    http, limits, ledger, wires, destinations : tables
        See each.
    access : tuple of Access
        Who may use the API and the page.

    Examples
    --------
    >>> config = Config.parse("[limits]\nmax_calls = 20")
    >>> config.limits.max_calls, config.http.port
    (20, 8080)
    >>> Config.parse("[limits]\nmax_call = 20")
    Traceback (most recent call last):
        ...
    emotion_triage.errors.ConfigError: serve.toml: unknown key limits.max_call (did you mean max_calls?)
    """

    policy: Name | None = None
    model: Name | None = None
    processes: Annotated[int, Meta(ge=1, le=64)] = 1
    team: tuple[Name, ...] = ()
    http: HttpConfig = HttpConfig()
    limits: Limits = Limits()
    ledger: LedgerConfig | None = None
    access: tuple[Access, ...] = ()
    wires: Wires = Wires()
    destinations: Destinations = Destinations()

    def __post_init__(self) -> None:
        names = [each.name for each in self.access]
        if len(set(names)) != len(names):
            raise ConfigError("access: several entries share a name; expected one token for each")
        for name in Wires.__struct_fields__:
            wire = getattr(self.wires, name)
            if wire is not None and wire.destination and getattr(self.destinations, wire.destination) is None:
                raise ConfigError(
                    f"wires.{name}.destination is {wire.destination!r}; expected a table "
                    f"destinations.{wire.destination} beside it"
                )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Config:
        """Read a configuration file.

        Raises
        ------
        ConfigError
            The file cannot be read, has an unknown key, or a value that cannot be.
        """
        return cls.parse(toml_text(path, ConfigError), source=os.fspath(path))

    @classmethod
    def parse(cls, text: str, *, source: str = "serve.toml") -> Config:
        """Read a configuration from TOML text; `source` names it in errors."""
        return checked(toml_settings(text, source, ConfigError), cls, source, ConfigError)
