// Everything here is a convenience: each page works without it.
"use strict";

const KEYS_OFF = "hybridops-keys-off";

function keysAreOff() {
  return localStorage.getItem(KEYS_OFF) === "1";
}

// Relative times go on counting; the wording is that of dashboard/cards `ago`.
function ago(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

// What is left until a time; the wording is that of dashboard/cards `left`.
function left(seconds) {
  if (seconds <= 0) return "over";
  if (seconds < 60) return `${seconds} s left`;
  const minutes = Math.ceil(seconds / 60);
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours} h ${minutes % 60} min left` : `${minutes} min left`;
}

// The page's clock: ours, set by what the server's showed when it rendered the page.
const rendered = document.querySelector("[data-now]")?.dataset.now;
const ahead = rendered ? Date.parse(rendered) - Date.now() : 0;

function now() {
  return Date.now() + ahead;
}

function refreshTimes() {
  countDown();
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const words = ago(Math.max(0, (now() - Date.parse(element.dateTime)) / 1000));
    if (element.textContent !== words) element.textContent = words;
  }
}

// What is offered until a time is taken away then; whether it still counts, the server decides.
function countDown() {
  for (const element of document.querySelectorAll("time[data-left]")) {
    const words = left(Math.floor((Date.parse(element.dateTime) - now()) / 1000));
    if (element.textContent !== words) element.textContent = words;
  }
  for (const element of document.querySelectorAll("[data-until]")) {
    if (Date.parse(element.dataset.until) <= now()) element.remove();
  }
}

function tell(words) {
  const place = document.getElementById("notice");
  if (!place) return;
  const box = document.createElement("div");
  box.className = "notice refused";
  const text = document.createElement("p");
  text.textContent = words;
  box.append(text);
  place.replaceChildren(box);
}

function isTyping(target) {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]");
}

// From lever to lever; a row that a search has hidden is none.
function step(by) {
  const stops = [...document.querySelectorAll("[data-step]")].filter((one) => one.offsetParent);
  const row = document.activeElement?.closest("[data-flag]");
  const here = stops.findIndex((one) => one === document.activeElement || row?.contains(one));
  const next = here < 0 ? (by > 0 ? 0 : stops.length - 1) : here + by;
  stops[Math.min(Math.max(next, 0), stops.length - 1)]?.focus();
}

let awaitsPage = false;

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target) || document.querySelector("dialog[open]") || keysAreOff()) return;
  if (awaitsPage) {
    awaitsPage = false;
    const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
    if (link) link.click();
    return;
  }
  if (event.key === "g") {
    awaitsPage = true;
    setTimeout(() => { awaitsPage = false; }, 1500);
  } else if (event.key === "?") {
    document.getElementById("help")?.showModal();
  } else if (event.key === "u") {
    document.querySelector("[data-undo]")?.click();
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  } else if (event.key === "e") {
    const list = document.getElementById("environments");
    if (list) {
      list.open = true;
      list.querySelector("ul a")?.focus();
    }
  } else if (event.key === "/") {
    const field = document.querySelector("[data-first-filter]");
    if (field) {
      event.preventDefault();
      field.focus();
    }
  }
}

const AFTER_STATUS = {
  401: "You are signed out. Sign in again; nothing was changed.",
  403: "You may not do this here. Nothing was changed.",
  404: "This is not there any more. Reload the page.",
  413: "That was too large. Nothing was changed.",
};

document.documentElement.classList.add("scripted");
document.addEventListener("keydown", onKey);
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) document.getElementById("help")?.showModal();
});
document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  const id = event.detail.xhr.getResponseHeader("X-Request-Id");
  tell(AFTER_STATUS[status] || `The server failed (request ${id}). Reload to see what holds.`);
});
document.addEventListener("htmx:sendError", () => {
  tell("The server cannot be reached. It is not known whether this was done: reload to see.");
});
document.addEventListener("htmx:timeout", () => {
  tell("No answer within 10 s. It is not known whether this was done: reload to see.");
});

const keysOff = document.getElementById("keys-off");
if (keysOff) {
  keysOff.checked = keysAreOff();
  keysOff.addEventListener("change", () => {
    localStorage.setItem(KEYS_OFF, keysOff.checked ? "1" : "0");
  });
}
// Whoever writes a time means the clock on their wall, where the browser knows which that is.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
for (const field of document.querySelectorAll("[data-own-zone]")) {
  if (zone && field.value === "UTC") field.value = zone;
}
setInterval(refreshTimes, 5000);
setInterval(countDown, 1000);
