"""What puts each supervisor on calls of each engine, from the configuration."""

from __future__ import annotations

from emotion_triage.destinations.monitoring import Monitor
from emotion_triage.errors import ConfigError, TriageError
from emotion_triage.server.dispatcher import Dispatcher
from emotion_triage.server.engines import Destinations, MonitorConfig, Supervisor

__all__ = ["engines"]


async def engines(
    config: MonitorConfig | None, destinations: Destinations, dispatcher: Dispatcher
) -> dict[tuple[str, str], Monitor]:
    """Return what asks an engine for a supervisor, by destination and name; clients are the dispatcher's to close.

    Raises
    ------
    ConfigError
        A secret is not there.
    """
    made: dict[tuple[str, str], Monitor] = {}
    if config is None:
        return made
    for supervisor in config.supervisors:
        for name in supervisor.engines:
            try:
                made[name, supervisor.name] = await _MAKERS[name](supervisor, config, destinations, dispatcher)
            except TriageError as error:
                raise ConfigError(f"monitor.supervisors {supervisor.name!r}, {name}: {error}") from None
    return made


async def _ami(supervisor: Supervisor, config: MonitorConfig, to: Destinations, dispatcher: Dispatcher) -> Monitor:
    from emotion_triage.destinations.asterisk_monitor import AmiMonitor

    assert supervisor.ami is not None
    assert dispatcher.manager is not None
    return AmiMonitor(dispatcher.manager, supervisor.ami)


async def _ari(supervisor: Supervisor, config: MonitorConfig, to: Destinations, dispatcher: Dispatcher) -> Monitor:
    from emotion_triage.destinations.asterisk_monitor import AriMonitor

    assert supervisor.ari is not None
    assert to.ari is not None
    assert config.ari_context is not None
    client = await dispatcher.client(to.ari.url, (to.ari.username, to.ari.password.read()))
    return AriMonitor(client, supervisor.ari, config.ari_context)


async def _freeswitch(
    supervisor: Supervisor, config: MonitorConfig, to: Destinations, dispatcher: Dispatcher
) -> Monitor:
    from emotion_triage.destinations.freeswitch import FreeSwitch
    from emotion_triage.destinations.freeswitch_monitor import FreeSwitchMonitor

    assert supervisor.freeswitch is not None
    assert to.freeswitch is not None
    switch = FreeSwitch(to.freeswitch.host, to.freeswitch.port, to.freeswitch.password.read())
    return FreeSwitchMonitor(switch, supervisor.freeswitch)


async def _taskrouter(
    supervisor: Supervisor, config: MonitorConfig, to: Destinations, dispatcher: Dispatcher
) -> Monitor:
    from emotion_triage.destinations.twilio_monitor import TwilioMonitor

    assert supervisor.taskrouter is not None
    assert to.taskrouter is not None
    assert config.twilio_from is not None
    auth = to.taskrouter.account_sid, to.taskrouter.auth_token.read()
    return TwilioMonitor(
        await dispatcher.client(to.taskrouter.url, auth),
        await dispatcher.client(config.twilio_url, auth),
        account_sid=to.taskrouter.account_sid,
        workspace_sid=to.taskrouter.workspace_sid,
        from_=config.twilio_from,
        supervisor=supervisor.taskrouter,
    )


async def _connect(supervisor: Supervisor, config: MonitorConfig, to: Destinations, dispatcher: Dispatcher) -> Monitor:
    from emotion_triage.destinations.connect_monitor import ConnectMonitor

    assert supervisor.connect is not None
    assert to.connect is not None
    return ConnectMonitor(await dispatcher.connect_client(to.connect), to.connect.instance_id, supervisor.connect)


async def _genesys(supervisor: Supervisor, config: MonitorConfig, to: Destinations, dispatcher: Dispatcher) -> Monitor:
    from emotion_triage.destinations.genesys_monitor import GenesysMonitor, UserToken

    assert supervisor.genesys is not None
    assert to.genesys is not None
    supervisor.genesys.read()  # a token that is missing stops the server and not the first supervisor
    return GenesysMonitor(await dispatcher.client(to.genesys.url, UserToken(supervisor.genesys.read)))


_MAKERS = {
    "ami": _ami,
    "ari": _ari,
    "connect": _connect,
    "freeswitch": _freeswitch,
    "genesys": _genesys,
    "taskrouter": _taskrouter,
}
