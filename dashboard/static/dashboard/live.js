// The live parts of a page: pushed over a socket, fetched after a gap, and never green when old.
"use strict";

(() => {
  const foot = document.getElementById("live");
  const regions = () => [...document.querySelectorAll("[data-live]")];
  if (!foot || !regions().length) return;

  // Stale is promised within 15 s; the page looks four times a second.
  const TICK_MS = 250;
  const DELAYED_MS = 10_000;
  const STALE_MS = 12_500;
  const FOLLOW_MS = 1_000;
  const FIRST_MS = 500;
  const LONGEST_MS = 15_000;
  const SIGNED_OUT = 4401;
  const NO_ROLE = 4403;
  const UNWELCOME = 1008;
  const LAST_WORDS = {
    [SIGNED_OUT]: "You are signed out, so this page is not live any more. Sign in again.",
    [NO_ROLE]: "You have no role here any more, so this page is not live.",
  };

  const said = document.getElementById("live-said");
  const words = foot.querySelector("[data-words]");
  const title = document.title.split(" · ").slice(-2).join(" · ");
  const seqs = new Map(); // topic -> number of the last frame
  const bases = new Map(); // topic -> number and lines of the last frame, which the next one mends
  const waiting = new Map(); // topic -> html that waits until the pointer has left
  const fetching = new Set();
  let boot = "";
  let beat = null;
  let tries = 0;
  let isOpen = false;
  let ended = "";
  let refused = "";
  let state = "";
  let followed = -Infinity;
  let heard = { mono: performance.now(), wall: Date.now() };
  let ahead = Date.parse(foot.dataset.now) - Date.now(); // the server's clock minus ours

  const nameOf = (region) => region.id.replaceAll("-", "_");
  const regionOf = (name) => document.getElementById(name.replaceAll("_", "-"));

  // Two clocks: the monotonic one may stand still while a laptop sleeps, the other may be set.
  function silence() {
    return Math.max(performance.now() - heard.mono, Date.now() - heard.wall);
  }

  // Makes `old` look like `fresh` and keeps every node that can stay, so that focus, selection,
  // an open <details> and the reader's place are not lost.
  function patch(old, fresh) {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
    } else if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
    } else if (!old.isEqualNode(fresh)) {
      patchAttributes(old, fresh);
      const [there, wanted] = [[...old.childNodes], [...fresh.childNodes]];
      for (const [place, child] of wanted.entries()) {
        if (place < there.length) patch(there[place], child);
        else old.append(child);
      }
      for (const left of there.slice(wanted.length)) left.remove();
    }
  }

  function patchAttributes(old, fresh) {
    for (const { name } of [...old.attributes]) {
      const isOurs = name === "open" || name === "data-stale" || name === "data-waits";
      if (!fresh.hasAttribute(name) && !isOurs) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }

  function isHeld(region) {
    const list = region.querySelector("[data-hold]");
    return Boolean(list && (list.matches(":hover") || list.querySelector(":focus-visible")));
  }

  function show(name, html) {
    const region = regionOf(name);
    if (!region) return;
    if (isHeld(region)) {
      waiting.set(name, html);
      region.dataset.waits = "";
      return;
    }
    waiting.delete(name);
    delete region.dataset.waits;
    const fresh = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    if (fresh) patch(region, fresh);
  }

  // What stands around a live part and differs by person is fetched anew when the part moved on,
  // but never under a pointer: a button must not change while somebody is about to press it.
  function follow() {
    for (const follower of document.querySelectorAll("[data-follows]")) {
      const part = document.getElementById(follower.dataset.follows);
      const around = document.querySelector(follower.getAttribute("hx-target"));
      if (!part || !around || part.dataset.version === around.dataset.version) continue;
      if (around.matches(":hover") || around.querySelector(":focus-visible")) continue;
      if (performance.now() - followed < FOLLOW_MS) continue;
      followed = performance.now();
      window.htmx?.trigger(follower, "follow");
    }
  }

  function hear(at) {
    heard = { mono: performance.now(), wall: Date.now() };
    ahead = Date.parse(at) - Date.now();
  }

  // Returns the lines of the part that a frame tells, null where what it differs from was lost.
  function whole(frame) {
    if (frame.html !== undefined) return frame.html.split("\n");
    const base = bases.get(frame.topic);
    if (base?.seq !== frame.seq - 1) return null;
    const lines = [...base.lines];
    for (const [number, line] of frame.lines) lines[number] = line;
    return lines;
  }

  function onFrame(frame) {
    hear(frame.at);
    if (frame.boot !== boot) {
      boot = frame.boot;
      seqs.clear();
      bases.clear();
    }
    if (frame.topic === "heartbeat") {
      const isGap = beat !== null && frame.seq !== beat + 1;
      beat = frame.seq;
      for (const region of regions()) {
        const newest = frame.seqs[nameOf(region)];
        if (newest !== undefined && (isGap || newest !== seqs.get(nameOf(region)))) {
          fetchPart(nameOf(region), newest);
        }
      }
      return;
    }
    const last = seqs.get(frame.topic);
    const lines = whole(frame);
    if (lines) {
      seqs.set(frame.topic, frame.seq);
      bases.set(frame.topic, { seq: frame.seq, lines });
      show(frame.topic, lines.join("\n"));
    } else {
      fetchPart(frame.topic, frame.seq);
    }
    if (last !== undefined && frame.seq !== last + 1) {
      // This part is whole again, or fetched; what else was lost is not known.
      regions().map(nameOf).filter((name) => name !== frame.topic).forEach((name) => fetchPart(name));
    }
  }

  // Returns whether the server still knows this person here.
  async function fetchPart(name, newest = seqs.get(name)) {
    if (fetching.has(name)) return true;
    fetching.add(name);
    const before = seqs.get(name);
    try {
      const answer = await fetch(`${foot.dataset.parts}${name}/`, {
        cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(10_000),
      });
      if (answer.type === "opaqueredirect" || answer.status === 401) return end(SIGNED_OUT);
      if (answer.status === 403 || answer.status === 404) return end(NO_ROLE);
      if (!answer.ok) return true;
      const html = await answer.text();
      if (seqs.get(name) !== before) return true; // a newer frame was faster
      if (newest !== undefined) seqs.set(name, newest);
      show(name, html);
    } catch {
      // Not reachable: the silence tells.
    } finally {
      fetching.delete(name);
    }
    return true;
  }

  function end(code) {
    ended = LAST_WORDS[code];
    return false;
  }

  function connect() {
    const address = new URL(foot.dataset.socket, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("topics", regions().map(nameOf).join(","));
    const socket = new WebSocket(address);
    let opened = false;
    beat = null;
    socket.addEventListener("open", () => { opened = isOpen = true; });
    socket.addEventListener("message", (event) => {
      tries = 0;
      onFrame(JSON.parse(event.data));
    });
    socket.addEventListener("close", async (event) => {
      isOpen = false;
      refused = event.reason ? `Not live: ${event.reason}` : "";
      if (LAST_WORDS[event.code]) end(event.code);
      // A refused handshake does not tell why; one answer does.
      else if (!opened && tries > 0) await fetchPart(nameOf(regions()[0]));
      if (ended) return;
      // Full jitter: a thousand pages that lost their server must not come back at once.
      const most = event.code === UNWELCOME ? 60_000 : Math.min(LONGEST_MS, FIRST_MS * 2 ** tries);
      tries += 1;
      setTimeout(connect, 100 + Math.random() * most);
    });
  }

  // The tab says how things stand, and not that they are well when nobody knows.
  function entitle() {
    const head = regions().find((region) => region.dataset.title);
    if (!head) return;
    const said = head.dataset.title;
    const now = head.dataset.stale ? `◌ stale · ${said.split(" · ").pop()}` : said;
    const whole = `${now} · ${title}`;
    if (document.title !== whole) document.title = whole;
  }

  function tell(next, text) {
    if (words.textContent !== text) words.textContent = text;
    if (next === state) return;
    foot.dataset.link = next;
    // A screen reader hears of the change, not of every second.
    if (state && next !== "connecting") said.textContent = text;
    state = next;
  }

  function tick() {
    const age = silence();
    for (const name of [...waiting.keys()]) show(name, waiting.get(name));
    follow();
    const seconds = Math.floor(age / 1000);
    for (const region of regions()) {
      const observed = Date.parse(region.dataset.observed || "");
      const old = Math.max(age, Number.isNaN(observed) ? 0 : Date.now() + ahead - observed);
      if (old >= STALE_MS || ended) region.dataset.stale = `stale, age ${Math.floor(old / 1000)} s`;
      else delete region.dataset.stale;
      for (const part of region.querySelectorAll("[data-aged]")) {
        if (region.dataset.stale) part.dataset.stale = region.dataset.stale;
        else delete part.dataset.stale;
      }
    }
    entitle();
    if (ended) tell("stale", ended);
    else if (age >= STALE_MS) tell("stale", refused || `Stale: nothing heard for ${seconds} s`);
    else if (age >= DELAYED_MS) tell("delayed", `Delayed: nothing heard for ${seconds} s`);
    else if (isOpen) tell("live", `Live ${(age / 1000).toFixed(1)} s ago · UTC`);
    else tell("connecting", refused || `Connecting, heard ${seconds} s ago`);
  }

  connect();
  tick();
  setInterval(tick, TICK_MS);
  document.addEventListener("visibilitychange", tick);
})();
