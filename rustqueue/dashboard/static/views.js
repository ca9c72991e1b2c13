// What each view shows. A view is a name, a title, and a function that asks the server and returns an element;
// `act` runs what a button does, shows its refusal, and draws the view anew.
import { el, number, table } from "./elements.js";
import { ask } from "./server.js";

const STATES = ["waiting", "active", "delayed", "blocked", "completed", "dlq"];
const LABELS = { waiting: "Waiting", active: "Active", delayed: "Delayed", blocked: "Blocked", completed: "Completed", dlq: "Dead letter" };
const EVENTS_MAX = 100;

const chosen = { queue: null };
const happened = [];

const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");
const time = (text) => (text ? new Date(text).toLocaleString() : "never");

export const VIEWS = [
  { name: "overview", title: "Overview", draw: overview },
  { name: "queues", title: "Queues", draw: queues },
  { name: "dlq", title: "Dead letters", draw: deadLetters },
  { name: "schedules", title: "Schedules", draw: schedules },
  { name: "events", title: "Live events", draw: events, live: true },
];

export function tellEvent(event) {
  happened.unshift(event);
  happened.length = Math.min(happened.length, EVENTS_MAX);
}

async function overview() {
  const [health, listed] = await Promise.all([ask("GET", "/health"), ask("GET", "/queues")]);
  const sum = (state) => listed.queues.reduce((total, queue) => total + queue.counts[state], 0);
  const totals = { Total: STATES.reduce((total, state) => total + sum(state), 0) };
  for (const state of STATES) totals[LABELS[state]] = sum(state);
  totals.Queues = listed.queues.length;
  const facts = {
    Status: health.status, Version: health.version, Up: duration(health.uptime_seconds), Role: health.role,
    Leader: health.leader ?? "none", "Log term": number(health.term), "Log entries applied": number(health.applied),
    "Entries behind": number(health.lag),
  };
  return el("div", {},
    el("h2", {}, "Overview"),
    el("div", { class: "cards" }, Object.entries(totals).map(([name, count]) =>
      el("div", { class: "card", "data-total": name }, el("div", { class: "quiet" }, name), el("div", { class: "number" }, number(count))))),
    el("div", { class: "card" }, el("h3", {}, "Node"),
      el("dl", {}, Object.entries(facts).map(([name, value]) => [el("dt", { class: "quiet" }, name), el("dd", {}, value)]))));
}

export function duration(seconds) {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days) return `${days} d ${hours} h`;
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${Math.floor(seconds) % 60} s`;
}

async function queues(act) {
  const { queues: listed } = await ask("GET", "/queues");
  return el("div", {}, el("h2", {}, "Queues"),
    listed.length ? el("div", { class: "cards wide" }, listed.map((queue) => queueCard(queue, act))) : el("p", { class: "quiet" }, "There is no queue yet."));
}

function queueCard(queue, act) {
  const held = queue.mode !== "normal";
  const verb = held ? "resume" : "pause";
  return el("div", { class: "card", "data-queue": queue.name },
    el("h3", {}, queue.name, " ", el("span", { class: held ? "tag held" : "tag open" }, held ? `paused (${queue.mode})` : "open")),
    el("div", { class: "counts" }, STATES.map((state) => el("span", {}, el("span", { class: "quiet" }, `${LABELS[state]} `), number(queue.counts[state])))),
    el("div", { class: "row" },
      el("button", { "data-act": verb, onclick: act(() => ask("POST", path("queues", queue.name, verb))) }, held ? "Resume" : "Pause")));
}

async function deadLetters(act) {
  const { queues: listed } = await ask("GET", "/queues");
  const names = listed.map((queue) => queue.name);
  if (!names.includes(chosen.queue)) chosen.queue = (listed.find((queue) => queue.counts.dlq > 0) ?? listed[0])?.name ?? null;
  if (chosen.queue === null) return el("div", {}, el("h2", {}, "Dead letters"), el("p", { class: "quiet" }, "There is no queue yet."));
  const { jobs } = await ask("GET", `${path("queues", chosen.queue, "dlq")}?limit=50`);
  const choose = act((event) => { chosen.queue = event.target.value; });
  const select = el("select", { id: "dlq-queue", onchange: choose },
    listed.map((queue) => el("option", { value: queue.name, selected: queue.name === chosen.queue }, `${queue.name} (${number(queue.counts.dlq)})`)));
  const retryAll = act(() => ask("POST", path("queues", chosen.queue, "dlq", "retry"), {}));
  const rows = jobs.map((job) => [
    el("span", { class: "mono" }, job.id), job.name, job.last_error ?? "",
    `${job.attempt}/${job.max_attempts}`, time(job.updated_at),
    el("button", { "data-act": "retry", "data-job": job.id, onclick: act(() => ask("POST", path("jobs", job.id, "retry"))) }, "Retry"),
  ]);
  return el("div", {}, el("h2", {}, "Dead letters"),
    el("div", { class: "row" }, select, el("button", { "data-act": "retry-all", disabled: jobs.length === 0, onclick: retryAll }, "Retry all")),
    rows.length ? table(["Job", "Name", "Error", "Attempts", "Since", ""], rows) : el("p", { class: "quiet" }, "Nothing is dead here."),
    jobs.length === 50 ? el("p", { class: "quiet" }, "The latest 50 are shown.") : null);
}

async function schedules(act) {
  const { schedules: listed, next_cursor: more } = await ask("GET", "/schedules?limit=50");
  return el("div", {}, el("h2", {}, "Schedules"),
    listed.length ? el("div", { class: "cards wide" }, listed.map((schedule) => scheduleCard(schedule, act))) : el("p", { class: "quiet" }, "There is no schedule."),
    more === null ? null : el("p", { class: "quiet" }, "The first 50 by name are shown."));
}

function scheduleCard(schedule, act) {
  const timing = schedule.cron_expr === null ? `every ${number(schedule.every_ms)} ms` : `${schedule.cron_expr} (${schedule.timezone ?? "UTC"})`;
  const verb = schedule.paused ? "resume" : "pause";
  const facts = {
    Queue: schedule.queue, Timing: timing, Runs: number(schedule.execution_count),
    "Last run": time(schedule.last_run_at), "Next run": time(schedule.next_run_at),
  };
  return el("div", { class: "card", "data-schedule": schedule.name },
    el("h3", {}, schedule.name, " ", el("span", { class: schedule.paused ? "tag held" : "tag open" }, schedule.paused ? "paused" : "on")),
    el("dl", {}, Object.entries(facts).map(([name, value]) => [el("dt", { class: "quiet" }, name), el("dd", {}, value)])),
    el("div", { class: "row" },
      el("button", { "data-act": verb, onclick: act(() => ask("POST", path("schedules", schedule.name, verb))) }, schedule.paused ? "Resume" : "Pause"),
      el("button", { "data-act": "run", onclick: act(() => ask("POST", path("schedules", schedule.name, "run"))) }, "Run now")));
}

async function events(act) {
  const clear = act(() => { happened.length = 0; });
  return el("div", {}, el("h2", {}, "Live events"),
    el("div", { class: "row" }, el("span", { class: "quiet" }, `since this page was opened, the latest ${EVENTS_MAX} at most`), el("button", { "data-act": "clear", onclick: clear }, "Clear")),
    el("div", { class: "log mono", id: "log" }, happened.length ? happened.map(line) : "Nothing has happened since then."));
}

function line(event) {
  if (event.event === "stream.gap") {
    return el("div", { class: "bad" }, event.missed === null ? "some events were missed here" : `${number(event.missed)} events were missed here`);
  }
  const more = event.progress === undefined ? "" : ` ${event.progress}%`;
  return el("div", {}, el("span", { class: "quiet" }, event.timestamp.slice(11, 23), " "), `${event.event}${more} `, el("strong", {}, event.queue), ` ${event.job_id ?? ""}`);
}
