"""One TOML file to everything that the server is told; secrets come from files or the environment, never from here."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from emotion_triage.adapters.protocol import MAX_MESSAGE_BYTES
from emotion_triage.errors import ConfigError
from emotion_triage.server.engines import Destinations, MonitorConfig, Name, Port, Seconds, Secret, Wires
from emotion_triage.settings import checked, toml_settings, toml_text
from emotion_triage.texts import Language

__all__ = ["Access", "Config", "HttpConfig", "Kind", "LedgerConfig", "Limits"]

Kind: TypeAlias = Literal["person", "machine", "agent"]
"""Whose a token is."""

Origin = Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]+$")]
"""Scheme, host and port, as a browser names where a page comes from."""
MIN_TOKEN_CHARACTERS = 24
"""Fewer can be guessed; 24 of base64 are 144 bits."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who may use the API and the page.

    Attributes
    ----------
    name : str
        Whose token it is; it stands beside each decision in the log.
    kind : {"person", "machine", "agent"}
        Only a person decides; a machine (the routing engine, a desktop) reads and says what it knows; an agent sees
        their own calls and their own exposure, and nothing else.
    token : Secret
        24 characters or more.
    agent_id : str, optional
        An agent's name as the engine and the ledger have it; needed with ``kind = "agent"``, and only there.
    expires_at : datetime, optional
        From then on it is refused; with a time zone.
    """

    name: Name
    kind: Kind
    token: Secret
    agent_id: Name | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        if (self.kind == "agent") != (self.agent_id is not None):
            raise ConfigError(
                f"access {self.name!r}: got kind {self.kind!r} {'without' if self.agent_id is None else 'with'} "
                'agent_id; expected agent_id with kind "agent", and only there'
            )


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
        Seconds that a request may take to arrive, head and body, and that an answer may be left unread.
    frame_ancestors : tuple of str
        Origins whose pages may show the agent's panel in a frame, such as ``https://crm.example.com``.
    max_connections : int
        Connections at once, beside those of calls; the one that has waited longest for its peer makes room for another.
    """

    host: Name = "127.0.0.1"
    port: Port = 8080
    tls_certificate: Name | None = None
    tls_key: Name | None = None
    session_hours: Annotated[float, Meta(gt=0.0, le=24.0)] = 10.0
    language: Language = "en"
    header_s: Seconds = 10.0
    frame_ancestors: tuple[Origin, ...] = ()
    max_connections: Annotated[int, Meta(ge=1)] = 2000

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigError("http has only one of tls_certificate and tls_key; expected both or neither")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one process takes on.

    Attributes
    ----------
    max_calls : int
        Connections of wires at once; one more is refused, so that its engine goes on without us. By default what one
        process was measured to hold (`docs/performance.md`).
    max_message_bytes : int
        Longest message of a wire, and longest body of a request.
    begin_s : float
        How long a connection of a wire may take to begin its call; one that has not begun makes room for a call.
    idle_s, gap_s : float
        Silence of a connection after which it is given up, and after which a call's time goes on without audio.
    tick_s : float
        How often what came in is scored, all calls in one pass.
    max_waiting_s : float
        Audio of one call that may wait to be scored; then the oldest is dropped and counted as lost.
    ledger_s : float
        How long a call waits for the ledger before it goes on without.
    kept_s : float
        How long a call that ended can still be looked at and judged, its caller's number in memory: by default a
        shift.
    drain_s : float
        How long calls may go on after SIGTERM.
    stuck_s : float
        How long scoring or the event loop may not move before the process is ended, for another to take its place;
        `/healthz` tells it after a third of it.
    """

    max_calls: Annotated[int, Meta(ge=1)] = 250
    max_message_bytes: Annotated[int, Meta(ge=1024, le=2**20)] = MAX_MESSAGE_BYTES
    begin_s: Seconds = 10.0
    idle_s: Seconds = 60.0
    gap_s: Seconds = 2.0
    tick_s: Annotated[float, Meta(ge=0.02, le=1.0)] = 0.1
    max_waiting_s: Annotated[float, Meta(ge=0.5, le=60.0)] = 5.0
    ledger_s: Annotated[float, Meta(gt=0.0, le=10.0)] = 1.0
    kept_s: Seconds = 28_800.0
    drain_s: Annotated[float, Meta(ge=0.0, le=3600.0)] = 30.0
    stuck_s: Annotated[float, Meta(ge=3.0, le=3600.0)] = 15.0


class LedgerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger; without one every caller's standing is clear and no decision is kept.

    Attributes
    ----------
    url : str
        As `Ledger.open` takes it; a password belongs in ``~/.pgpass``.
    key : Secret
        The key as in a file of the commands, 64 hex digits or more; or else any text of 32 characters or more.
    previous_keys : tuple of Secret
        Those before it, the oldest first.
    create : bool
        Make a ledger where there is none, for a first start; a mistyped address is refused without it.
    keep_windows : bool
        Keep the scores of a contact's windows with it, as long as the policy keeps scores: what `calibrate` needs.
    """

    url: Name
    key: Secret
    previous_keys: tuple[Secret, ...] = ()
    create: bool = False
    keep_windows: bool = False


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
    http, limits, ledger, wires, destinations, monitor : tables
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
    monitor: MonitorConfig | None = None

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
        if self.monitor is not None:
            if self.ledger is None:
                raise ConfigError(
                    "monitor: got no table [ledger], expected one: who listens to whom is kept in its log"
                )
            self.monitor.check(self.destinations, {each.name for each in self.access if each.kind == "person"})

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
