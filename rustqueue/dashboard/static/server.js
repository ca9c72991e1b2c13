// The public API, as any client uses it. The token lives in this module's memory and nowhere else.
const API = "/api/v1";
const RETURN_MS = 3000;

let token = null;

export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export function useToken(text) {
  token = text;
}

export async function ask(method, path, body) {
  const headers = {};
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(API + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refusal(0, "NETWORK_ERROR", "The node does not answer");
  }
  const content = await answer.json().catch(() => null);
  if (!answer.ok || content === null) {
    const error = content?.error ?? {};
    throw new Refusal(answer.status, error.code ?? "BAD_ANSWER", error.message ?? `Status ${answer.status}`);
  }
  return content;
}

// A browser can set no header on a WebSocket, so the token goes as a protocol, in base64url.
function protocols() {
  if (token === null) return ["rustqueue.events"];
  const bytes = new TextEncoder().encode(token);
  const text = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["rustqueue.events", `rustqueue.bearer.${text}`];
}

// Tells events until the returned function is called; comes back after a break, behind the last one told.
export function follow(onEvent, onState) {
  let cursor = null;
  let socket = null;
  let timer = null;
  let ended = false;

  function open() {
    const url = new URL(`${API}/events`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    if (cursor !== null) url.searchParams.set("after", cursor);
    socket = new WebSocket(url, protocols());
    socket.onopen = () => onState(true);
    socket.onmessage = (message) => {
      const event = JSON.parse(message.data);
      cursor = event.cursor;
      onEvent(event);
    };
    socket.onclose = () => {
      onState(false);
      if (!ended) timer = setTimeout(open, RETURN_MS);
    };
  }

  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    socket.close();
  };
}
