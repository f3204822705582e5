// -- The log. Lines hold whatever clients sent: all of it is set as text, never as markup.

const LINES = 100;
let logLast = 0, logFilters = "", logTurn = 0, logTimer = 0, logNames = "";

// A line of `format: text`: key=value, quoted as in JSON where there are spaces.
function fieldsOf(line) {
  const fields = {};
  for (const [, key, value] of line.matchAll(/([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)/g)) {
    try {
      fields[key] = value.startsWith('"') ? JSON.parse(value) : value;
    } catch {
      fields[key] = value;
    }
  }
  return fields;
}

// Members of members as `pick.policy`.
function flattened(record, prefix = "") {
  return Object.entries(record).flatMap(([key, value]) =>
    value !== null && typeof value === "object" ? flattened(value, prefix + key + ".") : [[prefix + key, String(value)]]);
}

// As `weir tail` has it: what the service did not do is bad, what clients and limits did is not.
function toneOf(r) {
  if (r.event) return { error: "bad", warning: "warn" }[r.level] ?? "";
  if (r.status >= 500 || /^(backend|no_backend|connect_)/.test(r.reason)) return "bad";
  if (r.reason === "ok") return r.status >= 400 ? "warn" : "good";
  const isNoFailure = r.status || /^(client_|timeout_idle|timeout_request_head|denied|rate_limited|shutdown)/.test(r.reason);
  return isNoFailure ? "warn" : "bad";
}

function cellsOf(r) {
  const time = make("span", { class: "faint" }, (r.time ?? "").slice(11, 23));
  if (r.event) {
    const rest = flattened(r).filter(([key]) => !["time", "level", "event"].includes(key));
    return [time, make("span", { class: "strong " + toneOf(r) }, r.event),
      make("span", { class: "line" }, rest.map(([key, value]) => `${key}=${value}`).join("  "))];
  }
  const outcome = [r.status, r.reason === "ok" && r.status ? null : r.reason].filter(Boolean).join(" ");
  const bytes = `in ${bytesText(Number(r.bytes_in ?? 0))}, out ${bytesText(Number(r.bytes_out ?? 0))}`;
  const what = r.method ? `${r.method} ${r.host ?? ""}${r.path ?? ""}` : bytes;
  const more = [r.cause, what, r.attempts > 1 ? `(${r.attempts} attempts)` : ""].filter(Boolean).join(" ");
  return [time, make("span", { class: "strong " + toneOf(r) }, outcome),
    make("span", { class: "n" }, durationText(Number(r.total_us))), make("span", { class: "wide" }, r.listener),
    make("span", { class: "wide faint" }, r.client),
    make("span", { class: "wide" }, r.backend ? `${r.pool}/${r.backend}` : r.pool ?? "–"),
    make("span", { class: "line" }, more)];
}

function logLine(record) {
  const r = typeof record === "string" ? fieldsOf(record) : record;
  const line = make("li", { class: r.event ? "event" : "" });
  const details = make("details"), summary = make("summary");
  summary.append(...cellsOf(r));
  details.append(summary);
  details.ontoggle = () => {
    if (details.open && !details.querySelector("dl")) details.append(allOf(r));
    drawLogNote();
  };
  line.append(details);
  return line;
}

function allOf(r) {
  const list = make("dl");
  for (const [key, value] of flattened(r)) list.append(make("dt", {}, key), make("dd", {}, value));
  if (r.id && !r.event) {
    const words = make("dd");
    words.append(make("code", {}, "weir explain --request " + r.id));
    list.append(make("dt", {}, "in words"), words);
  }
  return list;
}

// Who reads a line is not to lose it.
const isLogHeld = () => $("log").contains(document.activeElement) || $("log").querySelector("details[open]") != null;

function letGoOfLog(target) {
  if (target === $("log-text")) { target.value = ""; target.blur(); askLog(); }
  if (!$("log").contains(target) && target !== document.body) return;
  for (const open of $("log").querySelectorAll("details[open]")) open.open = false;
  target.blur();
}

function choices(select, all, options) {
  const chosen = select.value;
  select.replaceChildren(make("option", { value: "" }, all), ...options.map(([value, text]) => make("option", { value }, text)));
  select.value = chosen;
  if (select.selectedIndex < 0) select.value = "";
}

// A reload may have changed who there is.
function drawLogChoices() {
  const listeners = now.listeners.map(l => [l.name, l.name]);
  const backends = now.pools.flatMap(p => p.backends.map(b => [JSON.stringify([p.name, b.name]), `${p.name} / ${b.name}`]));
  const names = JSON.stringify([listeners, backends]);
  if (names === logNames) return;
  logNames = names;
  choices($("log-listener"), "any listener", listeners);
  choices($("log-backend"), "any backend", backends);
}

function chosenFilters() {
  const isEvents = $("log-kind").value === "events";
  $("log-status").disabled = isEvents;
  const [pool, backend] = $("log-backend").value ? JSON.parse($("log-backend").value) : [];
  const filters = {
    kind: $("log-kind").value, status: isEvents ? "" : $("log-status").value, listener: $("log-listener").value,
    pool, backend, text: $("log-text").value.trim(),
  };
  return Object.entries(filters).filter(([, value]) => value).map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
}

let logState = null;

function drawLogNote() {
  const parts = [];
  if (logState && !logState.on) {
    parts.push(`logs.${logState.kind} is off: no records are made.`);
  } else if (logState) {
    if (isLogHeld()) parts.push("Held while a line is open or has the focus: Escape lets go.");
    if (logState.gap) parts.push("Records come faster than they are shown.");
    parts.push(logState.kept ? `In memory: the newest ${whole.format(logState.kept)}, since ${logState.oldest.slice(11, 19)}.` : "Nothing yet.");
    if (logState.sample !== "100%") parts.push(`Of what goes well ${logState.sample} is recorded.`);
  }
  const text = parts.join(" ");
  if ($("log-note").textContent !== text) $("log-note").textContent = text;
}

async function askLog() {
  if (!now) return;
  drawLogChoices();
  const filters = chosenFilters(), isNew = filters !== logFilters, turn = ++logTurn;
  if (!isNew && isLogHeld()) return drawLogNote();
  const answer = await fetched(`lb/log?${filters}&limit=${LINES}${!isNew && logLast ? "&since=" + logLast : ""}`);
  // Somebody chose something else meanwhile, or began to read.
  if (turn !== logTurn || (!isNew && isLogHeld())) return;
  if (!answer.ok) throw new Error(`The log is not to be had: ${(await answer.json()).error}.`);
  logState = await answer.json();
  logLast = logState.last;
  logFilters = filters;
  if (isNew) $("log").replaceChildren();
  $("log").prepend(...logState.records.reverse().map(logLine));
  while ($("log").children.length > LINES) $("log").lastChild.remove();
  drawLogNote();
}

function askLogSoon() {
  clearTimeout(logTimer);
  logTimer = setTimeout(() => askLog().catch(error => say(error.message)), 150);
}

for (const name of ["log-kind", "log-status", "log-listener", "log-backend"]) $(name).onchange = askLogSoon;
$("log-text").oninput = askLogSoon;
$("log").addEventListener("focusin", drawLogNote);
$("log").addEventListener("focusout", () => setTimeout(drawLogNote));
