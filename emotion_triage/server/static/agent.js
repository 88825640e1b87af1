// Tells the page around the panel what it shows, where the server's configuration names that page; nothing of a caller's.
"use strict";

{
  const origins = document.body.dataset.origins.split(" ").filter(Boolean);
  const shown = document.getElementById("live");
  let around = null, told = "";

  const tell = () => {
    const call = document.getElementById("call");
    if (!around || !call) return;
    const { level, help, flagged, wrapUps } = call.dataset;
    const state = {
      source: "emotion-triage", call: call.dataset.call || null, level: level || null,
      help: help === "true", flagged: flagged === "true", wrapUps: Number(wrapUps),
    };
    const text = JSON.stringify(state);
    if (text === told) return;
    told = text;
    around.source.postMessage(state, around.origin);
  };

  if (shown && origins.length && window.parent !== window) {
    // the page around speaks first, so that its origin is known and only it is answered
    addEventListener("message", (event) => {
      if (!origins.includes(event.origin) || event.source !== window.parent || event.data !== "emotion-triage") return;
      around = { source: event.source, origin: event.origin };
      told = "";
      tell();
    });
    new MutationObserver(tell).observe(shown, { subtree: true, childList: true, attributes: true });
  }
}
