// Keeps #live as the server renders it; without this script the page is whole, only not alive.
"use strict";

function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
}

// Changes `old` into `fresh` in place, so that focus, selection and scroll position stay.
function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  // what a person opened stays open
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  children(old, fresh);
}

function children(old, fresh) {
  const known = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
  let here = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const kept = (wanted.id && known.get(wanted.id)) || (here && same(here, wanted) ? here : null);
    if (!kept) {
      old.insertBefore(wanted, here);
    } else {
      if (kept === here) here = here.nextSibling;
      else old.insertBefore(kept, here);
      morph(kept, wanted);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

// Times are shown as the clock on this wall shows them; the first page of all is fetched once more for it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const zoned = `zone=${encodeURIComponent(zone || "")}`;
if (zone && !document.cookie.split("; ").includes(zoned)) {
  const framed = window.parent !== window && location.protocol === "https:";
  document.cookie = `${zoned}; path=/; max-age=31536000; samesite=${framed ? "none; secure; partitioned" : "strict"}`;
  if (document.querySelector("time") && document.cookie.split("; ").includes(zoned)) location.reload();
}

// Gives each event of a stream to `take`, and says on the page when the stream is lost.
function listen(address, take) {
  const link = document.getElementById("link");
  const events = new EventSource(address);
  events.onopen = () => { link.hidden = true; };
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) { location.reload(); return; }
    link.textContent = link.dataset.lost;
    link.hidden = false;
  };
  events.onmessage = (event) => take(JSON.parse(event.data));
}

const live = document.getElementById("live");
if (live) {
  listen(live.dataset.events, (told) => {
    const fresh = document.createElement("template");
    fresh.innerHTML = told.html;
    children(live, fresh.content);
    if (told.say) document.getElementById("say").textContent = told.say;
  });
}
