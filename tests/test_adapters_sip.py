"""A telephone call end to end: SIP and RTP by sipp on loopback, into the RTP adapter, out to a route."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from emotion_triage.adapters.rtp import Rtp, UdpSocket
from emotion_triage.adapters.session import Direct, Session
from emotion_triage.adapters.wire import Ended, Started, WireEvent
from emotion_triage.audio import encode_mulaw
from emotion_triage.destinations.asterisk import variables
from emotion_triage.escalation import Escalation, Level
from emotion_triage.routing import Route
from emotion_triage.triage import Call, Event, Triage

SIPP = shutil.which("sipp")

CALLER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
      INVITE sip:line@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
      From: <sip:caller@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:line@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: sip:caller@[local_ip]:[local_port]
      Max-Forwards: 70
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=caller 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 [media_ip]
      t=0 0
      m=audio [rtpstream_audio_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rtd="true"/>
  <send><![CDATA[
      ACK sip:line@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
      From: <sip:caller@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:line@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  <nop><action><exec rtp_stream="{audio},1,0"/></action></nop>
  <pause milliseconds="{duration_ms}"/>
  <send retrans="500"><![CDATA[
      BYE sip:line@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
      From: <sip:caller@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:line@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0
  ]]></send>
  <recv response="200"/>
</scenario>
"""
LINE = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="line">
  <recv request="INVITE"/>
  <send retrans="500"><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:];tag=[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:[local_ip]:[local_port]>
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=line 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 127.0.0.1
      t=0 0
      m=audio {rtp_port} RTP/AVP 0
      a=rtpmap:0 PCMU/8000
      a=recvonly
  ]]></send>
  <recv request="ACK"/>
  <recv request="BYE"/>
  <send><![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0
  ]]></send>
</scenario>
"""


class Owner:
    def __init__(self, triage: Triage) -> None:
        self.triage = triage
        self.events: list[Event] = []
        self.ends: list[Ended] = []

    async def started(self, session: Session, event: Started) -> Call | None:
        return event.open(self.triage)

    async def noticed(self, session: Session, event: WireEvent) -> None:
        pass

    async def ended(self, session: Session, event: Ended) -> None:
        self.ends.append(event)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def telephone(folder: Path, owner: Owner, audio: bytes) -> Session:
    """Let one sipp call another, whose media goes to the adapter; return once both hung up."""
    loop = asyncio.get_running_loop()
    transport, udp = await loop.create_datagram_endpoint(UdpSocket, local_addr=("127.0.0.1", 0))
    rtp_port = transport.get_extra_info("sockname")[1]
    session = Session(udp, Rtp(call_id="sip-call"), owner, Direct(lambda call, events: owner.events.extend(events)))
    running = asyncio.create_task(session.run())
    (folder / "caller.ul").write_bytes(audio)
    caller = CALLER.format(audio=folder / "caller.ul", duration_ms=len(audio) // 8 + 500)
    (folder / "caller.xml").write_text(caller)
    (folder / "line.xml").write_text(LINE.format(rtp_port=rtp_port))
    line_port, caller_port = free_port(), free_port()

    async def sipp(scenario: str, *arguments: str) -> asyncio.subprocess.Process:
        command = [str(SIPP), "-sf", scenario, "-i", "127.0.0.1", "-m", "1", "-nostdin", *arguments]
        output = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=output, stderr=output)

    line = await sipp("line.xml", "-p", str(line_port))
    await asyncio.sleep(0.5)
    call = await sipp("caller.xml", "-p", str(caller_port), "-timeout", "60s", f"127.0.0.1:{line_port}")
    try:
        codes = await asyncio.wait_for(asyncio.gather(call.wait(), line.wait()), 90)
    finally:
        for process in (line, call):
            if process.returncode is None:
                process.kill()
    udp.stop()
    await running
    transport.close()
    assert codes == [0, 0]
    return session


@pytest.mark.skipif(SIPP is None, reason="needs sipp: apt-get install sip-tester")
def test_a_sip_call_is_routed(triage: Triage, temper: np.ndarray, tmp_path: Path) -> None:
    """A caller who loses his temper over SIP and G.711 escalates, and Asterisk is told to serve him sooner."""
    audio = encode_mulaw(temper[4 * 8000 : 18 * 8000])
    owner = Owner(triage)
    session = asyncio.run(telephone(tmp_path, owner, audio))
    assert owner.ends == [Ended(reason="hangup")]
    assert session.call is not None
    heard_s = session.call.position_s - session.call.lost_s
    assert heard_s == pytest.approx(len(audio) / 8000, abs=0.5)
    assert Level.ESCALATED in [event.level for event in owner.events if isinstance(event, Escalation)]
    first = triage.call("sip-call").route
    highest = max((event for event in owner.events if isinstance(event, Route)), key=lambda route: route.priority)
    assert int(variables(highest)["QUEUE_PRIO"]) > int(variables(first)["QUEUE_PRIO"])
    assert variables(highest)["TRIAGE_QUEUE"] != variables(first)["TRIAGE_QUEUE"]
