// -- Changes: what was applied, and what may be done to a backend.

const HISTORY_PERIOD = 5000;
let historyAt = 0, confirmed = null;

const whoAsked = {
  start: "start", sighup: "SIGHUP", watch: "the file changed", reload: "reload", rollback: "rollback",
  automatic_rollback: "automatic rollback", backends: "a command for a backend" };

function whatOf(entry) {
  if (entry.cause != null) return make("span", { class: "bad" }, "not applied: " + entry.cause);
  const more = entry.changes - entry.changed.length;
  const words = entry.changed.join(", ") + (more > 0 ? `, and ${whole.format(more)} more` : "");
  const restored = entry.restored == null ? "" : `number ${entry.restored} again: `;
  return restored + (words || (entry.source === "start" ? "" : "nothing changed"));
}

const historyColumns = [
  { name: "Number", kind: "n", show: e => e.number == null ? "–" : whole.format(e.number) },
  { name: "Time", kind: "", show: e => e.time.replace("T", " ").replace(/\.\d+Z$/, "Z") },
  { name: "By", kind: "", show: e => whoAsked[e.source] ?? e.source },
  { name: "What changed", kind: "wrap", show: whatOf },
];

async function askHistory(isNow = false) {
  if (!isNow && Date.now() < historyAt) return;
  const answer = await fetched("lb/history");
  if (!answer.ok) throw new Error(`The history answers ${answer.status}.`);
  historyAt = Date.now() + HISTORY_PERIOD;
  const history = await answer.json();
  $("history-note").hidden = !history.differs_from_file;
  $("history-note").textContent = `What is in force is not what ${history.file} said when it was read last.`;
  table($("history"), historyColumns, history.entries.reverse(), false);
}

// -- Draining and enabling backends

function changeOf(b) {
  const isOut = b.state === "draining" || b.state === "disabled";
  const words = isOut ? "Enable" : "Drain";
  const button = make("button", { type: "button", class: "small", "aria-label": `${words} ${b.name} of pool ${b.pool}` }, words);
  button.onclick = () => isOut
    ? question(`Enable ${b.name} of pool ${b.pool}? It gets new sessions again.`, words, () => change(b, "enable"))
    : question(`Drain ${b.name} of pool ${b.pool}? It gets no new sessions; those that it has (${whole.format(b.active)} ` +
      "now) go on until they end.", words, () => change(b, "drain"));
  return button;
}

function question(text, yes, action) {
  $("question-text").textContent = text;
  $("yes").textContent = yes;
  confirmed = action;
  $("question").showModal();
  $("no").focus();
}

async function change(b, what) {
  const path = `lb/backends/${encodeURIComponent(b.name)}/${what}?pool=${encodeURIComponent(b.pool)}`;
  try {
    const answer = await fetched(path, "POST");
    tell(answer.ok ? `${b.name} of pool ${b.pool}: ${what === "drain" ? "draining" : "enabled"}.`
      : `${b.name} of pool ${b.pool} is as it was: ${(await answer.json()).error}`);
    historyAt = 0;
  } catch (error) {
    tell(`Nobody knows whether that was done: ${error.message}`);
  }
  ask();
}

function tell(text) { $("done").textContent = text; }

$("yes").onclick = () => { $("question").close(); confirmed(); };
$("no").onclick = () => $("question").close();
