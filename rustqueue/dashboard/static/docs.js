// The description of the API as a page: every operation with its schema, its examples, and a form to try it.
import { el, table } from "./elements.js";

const byId = (id) => document.getElementById(id);
const pretty = (value) => JSON.stringify(value, null, 2);

const described = await (await fetch("/api/v1/openapi.json")).json();
byId("version").textContent = described.info.version;
byId("tags").append(...described.tags.map(({ name }) => el("a", { href: `#${anchor(name)}` }, name)));
byId("operations").replaceChildren(
  el("h1", {}, described.info.title),
  ...prose(described.info.description),
  ...described.tags.map(({ name }) => section(name)),
);

// Paragraphs, with what stands between backticks as code.
function prose(text) {
  return text.split("\n\n").map((paragraph) => el("p", {}, marked(paragraph)));
}

function marked(text) {
  return text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
}

function anchor(name) {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
}

function section(tag) {
  const operations = Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.entries(methods).filter(([, operation]) => operation.tags.includes(tag)).map(([method, operation]) => block(path, method.toUpperCase(), operation)));
  return el("section", { id: anchor(tag) }, el("h2", {}, tag), operations);
}

function block(path, method, operation) {
  const details = el("details", { id: operation.operationId },
    el("summary", {}, el("span", { class: "method" }, method), el("code", {}, path), " ", el("span", { class: "quiet" }, marked(operation.summary))));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(...inside(path, method, operation));
  });
  return details;
}

function inside(path, method, operation) {
  const body = operation.requestBody?.content["application/json"];
  const parts = prose(operation.description);
  if (operation.parameters.length) {
    parts.push(table(["Parameter", "In", "Type", ""], operation.parameters.map((parameter) =>
      [el("code", {}, parameter.name), parameter.in, type(parameter.schema), parameter.description ?? (parameter.required ? "required" : "")])));
  }
  if (body) parts.push(el("h3", {}, "Body"), fields(body.schema), ...examples(body));
  parts.push(el("h3", {}, "Answers"));
  for (const [status, answer] of Object.entries(operation.responses)) parts.push(...answered(status, resolved(answer)));
  if (operation.operationId !== "events") parts.push(attempt(path, method, operation, body));
  return parts;
}

function answered(status, answer) {
  const content = answer.content?.["application/json"];
  const line = el("div", {}, el("strong", {}, status), " ", answer.description);
  return Number(status) < 400 && content ? [line, fields(content.schema), ...examples(content)] : [line];
}

function examples(content) {
  return Object.values(content.examples ?? {}).map(({ value }) => el("pre", {}, pretty(value)));
}

function resolved(part) {
  return part.$ref ? part.$ref.split("/").slice(1).reduce((place, key) => place[key], described) : part;
}

function fields(schema) {
  const shapes = schema.oneOf ?? schema.anyOf ?? [schema];
  return el("div", {}, shapes.map((shape) => {
    const whole = resolved(shape);
    if (whole.type === "array") return el("p", { class: "quiet" }, `or ${type(whole)}`);
    const rows = Object.entries(whole.properties ?? {}).map(([name, field]) =>
      [el("code", {}, name), type(field), (whole.required ?? []).includes(name) ? "required" : ""]);
    return rows.length ? el("details", {}, el("summary", { class: "quiet" }, `${rows.length} fields`), table(["Field", "Type", ""], rows)) : null;
  }));
}

function type(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf || schema.oneOf) return (schema.anyOf ?? schema.oneOf).map(type).join(" or ");
  if (schema.enum) return schema.enum.map((value) => pretty(value)).join(" or ");
  if (schema.type === "array") return `list of ${type(schema.items ?? {})}`;
  const bounds = [];
  if (schema.minimum !== undefined) bounds.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) bounds.push(`to ${schema.maximum}`);
  if (schema.maxLength !== undefined) bounds.push(`at most ${schema.maxLength} long`);
  return `${schema.type ?? "anything"}${bounds.length ? ` (${bounds.join(" ")})` : ""}`;
}

function attempt(path, method, operation, body) {
  const inputs = operation.parameters.map((parameter) => ({ ...parameter, input: el("input", { placeholder: parameter.name, title: parameter.name, value: parameter.example ?? "" }) }));
  const first = Object.values(body?.examples ?? {})[0];
  const text = body ? el("textarea", { title: "body" }, first ? pretty(first.value) : "") : null;
  const shown = el("pre", { hidden: true });
  const send = async () => {
    shown.hidden = false;
    shown.textContent = "…";
    shown.textContent = await answerTo(path, method, inputs, text?.value).catch((error) => String(error));
  };
  return el("details", { class: "attempt" }, el("summary", {}, "Try it"),
    el("div", { class: "row" }, inputs.map(({ input }) => input)), text,
    el("div", { class: "row" }, el("button", { class: "main", onclick: send }, "Send"), el("span", { class: "quiet" }, "to this node, for real")), shown);
}

async function answerTo(path, method, inputs, text) {
  const headers = {};
  const query = new URLSearchParams();
  let target = path;
  for (const { name, in: place, input } of inputs) {
    if (place === "path") target = target.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value !== "" && place === "query") query.set(name, input.value);
    else if (input.value !== "") headers[name] = input.value;
  }
  if (byId("token").value) headers.Authorization = `Bearer ${byId("token").value}`;
  if (text) headers["Content-Type"] = "application/json";
  const answer = await fetch(target + (query.size ? `?${query}` : ""), { method, headers, body: text || undefined });
  const content = await answer.text();
  let readable = content;
  try {
    readable = pretty(JSON.parse(content));
  } catch {
    // Text of another kind is shown as it came.
  }
  return `${answer.status} ${answer.statusText}\n\n${readable}`;
}
