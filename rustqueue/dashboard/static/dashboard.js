// Which view is shown, when it is drawn anew, and whether there is a login before it.
import { el } from "./elements.js";
import { ask, follow, useToken } from "./server.js";
import { VIEWS, duration, tellEvent } from "./views.js";

const REFRESH_MS = 5000;
const LIVE_MS = 250;

const byId = (id) => document.getElementById(id);
let stopFollowing = null;
let drawing = 0;
let liveTimer = null;

function view() {
  return VIEWS.find(({ name }) => name === location.hash.slice(1)) ?? VIEWS[0];
}

async function draw() {
  const turn = ++drawing;
  const shown = view();
  for (const link of byId("views").querySelectorAll("a")) link.className = link.hash === `#${shown.name}` ? "here" : "";
  try {
    const element = await shown.draw(act);
    // A slow answer must not replace the view that was chosen meanwhile.
    if (turn === drawing) byId("view").replaceChildren(element);
    say("");
  } catch (refusal) {
    if (refusal.status === 401) leave(refusal.message);
    else say(refusal.message);
  }
}

function say(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = text === "";
}

function act(deed) {
  return async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      await deed(event);
    } catch (refusal) {
      say(refusal.message);
      button.disabled = false;
      return;
    }
    await draw();
  };
}

function onEvent(event) {
  tellEvent(event);
  if (view().live && liveTimer === null) {
    liveTimer = setTimeout(() => {
      liveTimer = null;
      draw();
    }, LIVE_MS);
  }
}

async function enter() {
  byId("login").hidden = true;
  byId("frame").hidden = false;
  stopFollowing = follow(onEvent, (on) => { byId("dot").className = on ? "dot on" : "dot"; });
  await draw();
}

function leave(reason) {
  stopFollowing?.();
  stopFollowing = null;
  useToken(null);
  byId("frame").hidden = true;
  byId("logout").hidden = true;
  byId("login").hidden = false;
  byId("refusal").textContent = reason;
  byId("token").focus();
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  useToken(byId("token").value);
  byId("token").value = "";
  try {
    await ask("GET", "/queues");
  } catch (refusal) {
    leave(refusal.message);
    return;
  }
  byId("logout").hidden = false;
  await enter();
});

byId("logout").addEventListener("click", () => leave(""));
window.addEventListener("hashchange", draw);

async function look() {
  byId("clock").textContent = new Date().toLocaleTimeString();
  if (stopFollowing === null) return;
  const health = await ask("GET", "/health").catch(() => null);
  if (health !== null) {
    byId("version").textContent = health.version;
    byId("uptime").textContent = `up ${duration(health.uptime_seconds)}`;
  }
}

byId("views").append(...VIEWS.map(({ name, title }) => el("a", { href: `#${name}` }, title)), el("p", { class: "quiet", id: "uptime" }));
setInterval(() => { if (stopFollowing !== null && !view().live) draw(); }, REFRESH_MS);
setInterval(look, REFRESH_MS);

try {
  await ask("GET", "/queues");
  await enter();
} catch (refusal) {
  if (refusal.status === 401) leave("");
  else {
    byId("frame").hidden = false;
    say(refusal.message);
    await enter();
  }
}
await look();
