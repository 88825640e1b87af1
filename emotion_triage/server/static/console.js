// Keeps the list of calls as the server tells it; what the server sends is what changed.
"use strict";

const table = document.getElementById("console");
if (table) {
  const head = document.getElementById("head");
  const body = document.getElementById("rows");
  const held = document.getElementById("held");
  const filters = document.getElementById("filters");
  const title = document.title;
  let order = [...body.children].map((row) => row.dataset.id);
  let skew = 0; // how far this clock is ahead of the server's, in milliseconds

  function parsed(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  }

  function length(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    const two = (value) => String(value).padStart(2, "0");
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)}`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  }

  function tick(where) {
    const now = Date.now() - skew;
    for (const each of where.querySelectorAll("[data-since]")) {
      const text = length((now - Date.parse(each.dataset.since)) / 1000);
      if (each.textContent !== text) each.textContent = text;
    }
  }

  // Rows stay where they are while someone points at them, or walks through them with the keyboard.
  function busy() { return body.matches(":hover") || body.querySelector(":focus-visible") !== null; }

  function settle() {
    const rows = new Map([...body.children].map((row) => [row.dataset.id, row]));
    const moves = order.some((id, i) => body.children[i] !== rows.get(id));
    held.hidden = !(moves && busy());
    if (!moves || busy()) return;
    let here = body.firstElementChild;
    for (const id of order) {
      const row = rows.get(id);
      if (row === here) here = here.nextElementSibling;
      else if (row) body.insertBefore(row, here);
    }
  }

  function filter() {
    const { q, level, queue } = filters.elements;
    const text = q.value.trim().toLowerCase();
    let shown = 0;
    for (const row of body.children) {
      const { dataset } = row;
      const wanted = (!queue.value || dataset.queue === queue.value)
        && (!level.value || (level.value === "need" ? dataset.need : dataset.level === level.value))
        && (!text || row.textContent.toLowerCase().includes(text) || dataset.id.toLowerCase().includes(text));
      row.hidden = !wanted;
      if (wanted) shown += 1;
    }
    document.getElementById("unmatched").hidden = shown > 0 || !body.children.length;
    body.closest(".scroll").hidden = !body.children.length;
    table.querySelector(".empty").hidden = body.children.length > 0;
  }

  function apply(message) {
    skew = Date.now() - Date.parse(message.now);
    if (message.head !== undefined) children(head, parsed(message.head));
    const rows = new Map([...body.children].map((row) => [row.dataset.id, row]));
    for (const [id, html] of message.rows) {
      const fresh = parsed(html);
      tick(fresh);
      const row = fresh.querySelector("tr");
      if (rows.has(id)) morph(rows.get(id), row);
      else body.append(row);
    }
    order = message.order;
    const known = new Set(order);
    for (const [id, row] of rows) if (!known.has(id)) row.remove();
    settle();
    filter();
    const needs = Number(head.querySelector(".counts").dataset.needs);
    document.title = needs ? `(${needs}) ${title}` : title;
    if (message.say) document.getElementById("say").textContent = message.say;
    if (message.alerts.length) alertTo(message.alerts);
  }

  // Notification and sound: off until someone asks for them, in this browser alone.
  const wishes = { notify: document.getElementById("notify"), sound: document.getElementById("sound") };
  let audio = null;

  function wished(name) { return wishes[name].getAttribute("aria-pressed") === "true"; }

  function wish(name, on) {
    wishes[name].setAttribute("aria-pressed", String(on));
    localStorage.setItem(name, on ? "on" : "off");
  }

  function sound() {
    audio ||= new AudioContext();
    audio.resume();
    for (const [at, pitch] of [[0, 660], [0.25, 880]]) {
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      tone.frequency.value = pitch;
      volume.gain.value = 0.15;
      tone.connect(volume).connect(audio.destination);
      tone.start(audio.currentTime + at);
      tone.stop(audio.currentTime + at + 0.18);
    }
  }

  function alertTo(alerts) {
    if (wished("sound")) sound();
    if (!wished("notify") || Notification.permission !== "granted") return;
    for (const { id, text } of alerts) {
      const shown = new Notification(text, { tag: id });
      shown.onclick = () => { window.focus(); location.href = `/calls/${encodeURIComponent(id)}`; };
    }
  }

  wishes.sound.hidden = false;
  wishes.sound.onclick = () => { wish("sound", !wished("sound")); if (wished("sound")) sound(); };
  wish("sound", localStorage.getItem("sound") === "on");
  if ("Notification" in window) {
    wishes.notify.hidden = false;
    wishes.notify.onclick = async () => {
      const granted = !wished("notify") && (await Notification.requestPermission()) === "granted";
      if (!wished("notify") && !granted) document.getElementById("say").textContent = table.dataset.notifyRefused;
      wish("notify", granted);
    };
    wish("notify", localStorage.getItem("notify") === "on" && Notification.permission === "granted");
  }

  filters.oninput = () => {
    filter();
    const asked = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));
    history.replaceState(null, "", asked.size ? `/?${asked}` : "/");
  };
  filters.onsubmit = (event) => { event.preventDefault(); };
  filters.querySelector(".tools button:not([id])").hidden = true;
  body.addEventListener("pointerleave", settle);
  body.addEventListener("focusout", () => setTimeout(settle));
  document.getElementById("attend").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = new URLSearchParams(new FormData(event.target, event.submitter));
    const answer = await fetch(event.target.action, { method: "POST", body: form });
    if (!answer.ok) document.getElementById("say").textContent = await answer.text();
  });
  setInterval(() => { tick(document); settle(); }, 1000);
  tick(document);
  listen(table.dataset.events, apply);
  window.applyChanges = apply; // for whoever measures it
}
