"use strict";
// The script of a run's report (report.html.jinja): it draws a card for each label issue, keeps what a person decides, and
// writes the lists that --decisions reads. Whatever comes from the data becomes text in the page, never HTML.

const KEEP = "keep", DROP = "drop";
const data = JSON.parse(document.getElementById("data").textContent); // report.content
const at = id => document.getElementById(id);
const names = data.classes.map(each => each.name);
const groupNumber = new Map((data.groups ? data.groups.cards : []).map((card, number) => [card.name, number]));

// The decisions: {number of a card: "keep", "drop" or the number of a class}, and for each step back what was there before.
const none = () => ({samples: {}, groups: {}, undo: [], finished: ""});
const storage = findStorage(), key = `incv ${data.checksum}`;
let state = read(), kind = "samples", shown = [], current = 0, changed = false, asked = false;

function findStorage() {
  try {
    localStorage.setItem("incv", "");
    localStorage.removeItem("incv");
    return localStorage;
  } catch {
    return null;
  }
}

function read() {
  try {
    return {...none(), ...JSON.parse(storage.getItem(key))};
  } catch {
    return none();
  }
}

function save() {
  changed = true;
  try {
    storage.setItem(key, JSON.stringify(state));
  } catch {
    at("not-kept").textContent = "Your browser does not let this page keep decisions: download them before you close it.";
    at("not-kept").hidden = false;
  }
}

// --- elements ---------------------------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...content) {
  const made = tag === "svg" || tag === "polyline" ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

const button = (text, letter, act) => {
  const made = make("button", {type: "button"}, text, ...(letter ? [" ", make("kbd", {"aria-hidden": "true"}, letter)] : []));
  made.addEventListener("click", act);
  return made;
};

const name = text => make("bdi", {}, text); // keeps the direction of a name to itself
const titleOf = card => /^\d+$/.test(card.name) && kind === "samples" ? `sample ${card.name}` : card.name;

let saying;
function say(text) {
  at("said").textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { at("said").textContent = ""; }, 4000);
}

// --- cards ------------------------------------------------------------------------------------------------------------

const cards = () => data[kind].cards;
const givenOf = card => card.given_text ?? names[card.given];
const ownOf = number => state[kind][number];
const ofGroup = number => kind === "samples" ? state.groups[groupNumber.get(cards()[number].group)] : undefined;
const decisionOf = number => ownOf(number) ?? ofGroup(number);
const isDecided = number => decisionOf(number) !== undefined;

function inWords(decision) {
  return decision === undefined ? "undecided" : decision === KEEP ? "kept" : decision === DROP ? "dropped"
    : `relabelled: ${names[decision]}`;
}

const items = new Map(); // {number of a card that is shown: its element}
const element = number => items.get(number);

const near = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
}, {rootMargin: "1200px"});

function draw(item) {
  near.unobserve(item);
  if (item.firstChild) return;
  const number = Number(item.dataset.number), card = cards()[number];
  const facts = make("div", {}, make("h3", {}, make("span", {}, `${number + 1} of ${cards().length} · `, name(titleOf(card))),
    make("span", {class: "decided"})),
    make("p", {class: "labels"}, make("small", {class: "faint"}, "given "), make("bdi", {class: "given"}, givenOf(card)),
      " → ", make("small", {class: "faint"}, "suggested "), make("bdi", {class: "suggested"}, names[card.suggested])));
  if (card.p) facts.append(bars(card));
  const more = [];
  if (card.issues !== undefined) more.push(`${card.issues} of ${card.samples} samples are label issues`);
  if (card.margin !== undefined && card.margin !== null) more.push(`margin ${card.margin.toFixed(2)}`);
  if (card.status) more.push(`INCV: ${card.status}`);
  if (card.group !== undefined) more.push(`group ${card.group}`);
  facts.append(make("small", {class: "faint"}, more.join(" · ")));
  const picture = pictureOf(card);
  item.append(...(picture ? [picture] : []), facts, make("div", {class: "deciding"}));
  if (!picture) item.classList.add(card.values ? "rows" : "bare");
  if (card.values) item.append(valuesOf(card));
  drawDecision(item);
}

function bars(card) {
  const found = make("div", {class: "bars"});
  for (const [label, p, of] of [[givenOf(card), card.p[0], "of-given"], [names[card.suggested], card.p[1], "of-suggested"]]) {
    const filled = make("i");
    filled.style.width = `${100 * p}%`;
    found.append(name(label), make("span", {class: `bar ${of}`, "aria-hidden": "true"}, filled),
      make("span", {}, p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`));
  }
  return found;
}

function pictureOf(card) {
  if (card.picture) {
    const image = make("img", {src: card.picture, alt: `picture of ${card.name}`});
    return make("div", {class: card.small ? "shown small" : "shown"}, image);
  }
  return card.line ? make("div", {class: "shown"}, lineOf(card)) : null;
}

function lineOf(card) {
  const median = data.shared.medians;
  const lines = [[median[card.given], "of-given"], [median[card.suggested], "of-suggested"], [card.line, ""]];
  const all = lines.flatMap(([line]) => line), low = Math.min(...all), high = Math.max(...all, low + 1e-9);
  const plot = make("svg", {class: "plot", viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img",
    "aria-label": "the values of the sample, with the medians of both classes"});
  for (const [line, of] of lines) {
    const step = 100 / Math.max(1, line.length - 1);
    const points = line.map((value, place) => [step * place, 95 - (90 * (value - low)) / (high - low)]);
    plot.append(make("polyline", {class: of, points: points.join(" ")}));
  }
  const told = "dotted: median of the given class, dashed: of the suggested one";
  return make("div", {}, plot, make("small", {class: "faint"}, told));
}

function valuesOf(card) {
  const place = make("div", {class: "row-values"});
  for (const [column, text] of card.texts || []) {
    place.append(make("p", {class: "long"}, make("b", {}, `${column}: `), name(text)));
  }
  const header = ["", "value", `median of ${givenOf(card)}`, `of ${names[card.suggested]}`];
  const tableOf = values => make("div", {class: "scroll"}, make("table", {class: "values"},
    make("thead", {}, make("tr", {}, ...header.map(text => make("th", {scope: "col"}, name(text))))),
    make("tbody", {}, ...values.map(([number, text]) => {
      const median = data.shared.medians[number] || [];
      return make("tr", {}, make("td", {}, name(data.shared.columns[number])), make("td", {}, name(text)),
        make("td", {}, median[card.given] ?? ""), make("td", {}, median[card.suggested] ?? ""));
    }))));
  const values = card.values || [];
  if (values.length) place.append(tableOf(values.slice(0, 5)));
  if (values.length > 5) {
    const more = make("details", {}, make("summary", {}, `${values.length - 5} more values`));
    more.addEventListener("toggle", () => more.children.length > 1 || more.append(tableOf(values.slice(5))));
    place.append(more);
  }
  return place;
}

function drawDecision(item) {
  const number = Number(item.dataset.number), card = cards()[number], decision = decisionOf(number);
  item.classList.remove("keep", "drop", "relabel");
  if (decision !== undefined) item.classList.add(typeof decision === "number" ? "relabel" : decision);
  item.setAttribute("aria-label", `${number + 1} of ${cards().length}: ${titleOf(card)}, given ${givenOf(card)}, suggested ` +
    `${names[card.suggested]}, ${inWords(decision)}`);
  const place = item.querySelector(".deciding");
  if (!place) return;
  const act = made => () => decide([[kind, number, made]], number);
  const icon = decision === KEEP ? "✓ " : decision === DROP ? "✕ " : "→ ";
  place.replaceChildren(
    button(make("span", {}, name(names[card.suggested]), " is right"), "Enter", act(card.suggested)),
    button(make("span", {}, "Keep ", name(givenOf(card))), "K", act(KEEP)), button("Drop", "D", act(DROP)),
    button("Another class", "/", () => choose(number)));
  item.querySelector(".decided").replaceChildren(...(decision === undefined ? [] : [
    icon, name(inWords(decision)), ownOf(number) === undefined ? " (its group)" : ""]));
  if (state.finished && card.true !== undefined) {
    place.append(make("span", {}, "true label: ", name(names[card.true] ?? "another class")));
  }
}

function choose(number) {
  const place = element(number).querySelector(".deciding"), choices = make("div", {class: "choices"});
  const typed = make("input", {type: "search", "aria-label": "another class: type its name, then Enter"});
  let found = [];
  const list = () => {
    const text = typed.value.trim().toLowerCase();
    const begins = each => names[each].toLowerCase().startsWith(text), all = names.map((_, each) => each);
    found = [...all.filter(begins), ...all.filter(each => !begins(each) && names[each].toLowerCase().includes(text))];
    choices.replaceChildren(typed, ...found.slice(0, 15).map((each, place) => button(
      name(names[each]), place ? "" : "Enter", () => decide([[kind, number, each]], number))));
    if (found.length > 15) choices.append(`and ${found.length - 15} more: type a letter`);
    typed.focus();
  };
  typed.addEventListener("input", list);
  typed.addEventListener("keydown", event => {
    if (event.key === "Enter" && found.length) decide([[kind, number, found[0]]], number);
    else if (event.key === "Escape") { drawDecision(element(number)); go(number); } else return;
    event.preventDefault();
  });
  drawDecision(element(number));
  place.append(choices);
  go(number);
  list();
}

// --- deciding ---------------------------------------------------------------------------------------------------------

// Make changes, [[kind, number of the card, decision]], as one step; then go to the next undecided card after `number`.
function decide(changes, number) {
  const isGiven = (of, each, decision) => of === "samples" && decision === data.samples.cards[each].given;
  changes = changes.map(([of, each, decision]) => [of, each, isGiven(of, each, decision) ? KEEP : decision]);
  const barred = changes.find(([, , decision]) => data.reserved.includes(names[decision] ?? decision));
  if (barred) return say(`A class is called ${names[barred[2]] ?? barred[2]}, as a decision is: rename the class`);
  state.undo.push(changes.map(([of, each]) => [of, each, state[of][each] ?? null]));
  apply(changes);
  if (number !== undefined) {
    say(`${titleOf(cards()[number])}: ${inWords(decisionOf(number))}`);
    const place = shown.indexOf(number), others = [...shown.slice(place + 1), ...shown.slice(0, place)];
    go(others.find(each => !isDecided(each)) ?? number);
  }
}

function apply(changes) {
  for (const [of, number, decision] of changes) {
    if (decision === null) delete state[of][number];
    else state[of][number] = decision;
  }
  save();
  refresh(changes);
}

function undo() {
  const step = state.undo.pop();
  if (!step) return say("Nothing to undo");
  if (step[0][0] !== kind) showKind(step[0][0]);
  apply(step);
  const [, first] = step[0];
  say(step.length > 1 ? `${step.length} decisions undone` : `${titleOf(cards()[first])}: ${inWords(decisionOf(first))} again`);
  if (shown.includes(first)) go(first);
}

// Draw what decisions change: of these cards, or of all.
function refresh(changes) {
  const own = changes && changes.every(([of]) => of === kind) ? changes.map(([, number]) => element(number)).filter(Boolean)
    : at("cards").children;
  for (const item of own) drawDecision(item);
  const found = cards().map((_, number) => decisionOf(number)).filter(decision => decision !== undefined);
  const kept = found.filter(each => each === KEEP).length, dropped = found.filter(each => each === DROP).length;
  at("count").textContent = `${found.length} of ${cards().length} decided` + (found.length
    ? `, ${found.length - kept - dropped} relabelled, ${kept} kept, ${dropped} dropped` : "");
  at("progress").max = cards().length;
  at("progress").value = found.length;
  at("undo").disabled = !state.undo.length;
  const [samples, groups] = ["samples", "groups"].map(of => Object.keys(state[of]).length > 0);
  at("download").disabled = !samples;
  at("download-groups").hidden = !data.groups;
  at("download-groups").disabled = !groups;
  at("finish").disabled = !samples || state.finished !== "";
  at("right").textContent = state.finished;
  if (data.command) {
    const lists = [...(groups ? [data.groups.file] : []), ...(samples || !groups ? [data.samples.file] : [])];
    at("command").textContent = [data.command[0], ...lists, data.command[1]].join(" ");
  }
  countSeveral();
}

// The undecided cards that are shown and whose suggestion has at least the probability that is asked for.
function several() {
  const least = at("least").valueAsNumber;
  return shown.filter(number => cards()[number].p && cards()[number].p[1] >= least && !isDecided(number));
}

function countSeveral() {
  const number = several().length;
  at("accept").textContent = number === 1 ? "Accept 1 suggestion" : `Accept ${number} suggestions`;
  at("accept").disabled = !number;
}

// --- finding ----------------------------------------------------------------------------------------------------------

function show() {
  const text = at("search").value.trim().toLowerCase(), sort = at("sort").value;
  const wanted = {given: at("of-given").value, suggested: at("of-suggested").value, status: at("of-status").value};
  const decided = at("of-decided").value;
  shown = cards().map((_, number) => number).filter(number => {
    const card = cards()[number];
    return (!wanted.given || givenOf(card) === wanted.given) &&
      (!wanted.suggested || names[card.suggested] === wanted.suggested) &&
      (!wanted.status || card.status === wanted.status) && (!decided || isDecided(number) === (decided === "yes")) &&
      card.name.toLowerCase().includes(text);
  });
  const by = {given: givenOf, suggested: card => names[card.suggested], name: card => card.name}[sort];
  const order = new Intl.Collator(undefined, {numeric: true});
  if (by) shown.sort((one, other) => order.compare(by(cards()[one]), by(cards()[other])) || one - other);
  near.disconnect();
  items.clear();
  for (const number of shown) items.set(number, make("li", {class: "card", tabindex: "-1", "data-number": number}));
  at("cards").replaceChildren(...items.values());
  for (const item of at("cards").children) near.observe(item);
  const what = kind === "groups" ? "groups" : "label issues";
  at("found").textContent = !shown.length ? `None of ${cards().length} ${what} is like this: press Show all.`
    : shown.length < cards().length ? `${shown.length} of ${cards().length} ${what} are shown.` : "";
  refresh();
  select(shown.find(number => !isDecided(number)) ?? shown[0]);
}

function select(number) {
  const before = element(current), item = element(number);
  if (before) {
    before.classList.remove("current");
    before.tabIndex = -1;
  }
  current = number;
  if (!item) return null;
  item.classList.add("current");
  item.tabIndex = 0;
  return item;
}

function go(number) {
  const item = select(number);
  if (!item) return;
  draw(item);
  item.focus({preventScroll: true});
  const box = item.getBoundingClientRect();
  const top = at("review").querySelector(".tools").offsetHeight;
  if (box.top < top || box.bottom > innerHeight) item.scrollIntoView({block: "center"});
}

function isInView(number) {
  const box = element(number)?.getBoundingClientRect();
  return box !== undefined && box.bottom > 0 && box.top < innerHeight;
}

function showKind(of) {
  kind = of;
  for (const each of at("kinds").children) each.setAttribute("aria-pressed", each.dataset.kind === kind);
  at("several").hidden = kind === "groups";
  const fill = (id, of) => {
    const counts = new Map();
    for (const card of cards()) if (of(card)) counts.set(of(card), (counts.get(of(card)) || 0) + 1);
    at(id).replaceChildren(make("option", {value: ""}, "all"), ...[...counts].sort((one, other) => other[1] - one[1]).map(
      ([text, number]) => make("option", {value: text}, `${text} (${number})`)));
  };
  fill("of-given", givenOf);
  fill("of-suggested", card => names[card.suggested]);
  fill("of-status", card => card.status);
  at("of-status").parentElement.hidden = kind === "groups";
  show();
}

function clearFilters() {
  for (const id of ["of-given", "of-suggested", "of-status", "of-decided", "search"]) at(id).value = "";
  at("sort").value = "worst";
}

// --- lists ------------------------------------------------------------------------------------------------------------

function download(of) {
  const list = data[of], field = decision => decision === undefined ? "" : data.classes[decision]?.field ?? decision;
  const lines = [list.header, ...list.cards.map((card, number) => card.csv + field(state[of][number]))];
  const address = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], {type: "text/csv"}));
  const link = make("a", {href: address, download: list.file});
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
  changed = false;
  say(`${list.file} is written to your downloads`);
}

function parse(text) {
  text = text.replace(/^"?sep=."?\r?\n/i, "");  // as a spreadsheet may write it above the header
  const header = text.slice(0, text.search(/[\r\n]|$/));
  const parts = separator => header.split(separator).length;
  const separator = [",", ";", "\t"].reduce((best, each) => parts(each) > parts(best) ? each : best);
  const rows = [[""]];
  let quoted = false;
  for (let place = 0; place < text.length; place++) {
    const letter = text[place], row = rows[rows.length - 1];
    if (letter === '"' && quoted && text[place + 1] === '"') row[row.length - 1] += text[++place];
    else if (letter === '"' && (quoted || row[row.length - 1] === "")) quoted = !quoted;
    else if (quoted) row[row.length - 1] += letter;
    else if (letter === separator) row.push("");
    else if (letter === "\n") rows.push([""]);
    else if (letter !== "\r") row[row.length - 1] += letter;
  }
  const [columns, ...others] = rows.filter(row => row.length > 1);
  return others.map(row => Object.fromEntries((columns || []).map((column, place) => [
    column.trim().toLowerCase(), (row[place] ?? "").trim().replace(/^'/, "").replace(/^(\d+)\.0+$/, "$1")])));
}

const nameOf = row => row.sample === undefined ? row.group : JSON.stringify([row.row, row.sample]);

function decisionIn(text) {
  const found = names.indexOf(text), like = each => each.toLowerCase() === text.toLowerCase();
  return found >= 0 ? found : [KEEP, DROP].find(like) ?? (names.findIndex(like) >= 0 ? names.findIndex(like) : undefined);
}

async function load(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const encoding = {"255 254": "utf-16le", "254 255": "utf-16be"}[`${bytes[0]} ${bytes[1]}`] ?? "utf-8";
  let text;
  try {
    text = new TextDecoder(encoding, {fatal: true}).decode(bytes);
  } catch {
    text = new TextDecoder("windows-1252").decode(bytes);  // as a Western European spreadsheet saves it
  }
  const rows = parse(text);
  if (rows[0]?.decision === undefined) return say(`${file.name} has no column decision: give a list of label issues`);
  const of = rows[0].sample === undefined && rows[0].group !== undefined && data.groups ? "groups" : "samples";
  const list = data[of], ours = parse([list.header, ...list.cards.map(card => card.csv)].join("\n"));
  const byId = new Map(ours.map((row, number) => [row.row_id, number])), byName = new Map(ours.map((row, number) => [nameOf(row), number]));
  const same = (one, other) => one === undefined || one.toLowerCase() === other.toLowerCase();
  const found = new Map(), filled = rows.filter(row => row.decision);
  for (const row of filled) {
    const number = row.row_id ? byId.get(row.row_id) : byName.get(nameOf(row)), decision = decisionIn(row.decision);
    if (number === undefined || decision === undefined || !same(row.given, ours[number].given)) continue;
    found.set(number, [...found.get(number) ?? [], decision]);
  }
  const changes = [...found].filter(([, decisions]) => new Set(decisions).size === 1).map(([number, [decision]]) => [of, number, decision]);
  if (changes.length) decide(changes);
  const lost = filled.length - changes.reduce((sum, [, number]) => sum + found.get(number).length, 0);
  say(`${changes.length} decision${changes.length === 1 ? "" : "s"} loaded${lost ? `, ${lost} not` : ""}`);
  if (lost) {
    at("trouble").textContent = `${lost} of the decisions in ${file.name} are about samples that are not on this page or have ` +
      "another label now, contradict each other, or name no class. They will not be in its download: correct that file, or " +
      "give it to --decisions, too.";
    at("trouble").hidden = false;
  }
}

// How many decisions are right, where true labels are known.
function finish() {
  const left = data.samples.cards.length - Object.keys(state.samples).length;
  if (left && !asked) {
    asked = true;
    return say(`${left} are undecided: press again to finish`);
  }
  const known = Object.entries(state.samples).map(([number, decision]) => [data.samples.cards[number], decision])
    .filter(([card]) => card.true !== undefined);
  const right = known.filter(([card, decision]) => decision === DROP ? card.given !== card.true
    : (decision === KEEP ? card.given : decision) === card.true).length;
  const suggested = known.filter(([card]) => card.suggested === card.true).length;
  const percent = number => `${number} (${Math.round((100 * number) / Math.max(1, known.length))} %)`;
  state.finished = `Of your ${known.length} decisions, ${percent(right)} are right. Had you accepted every suggestion, it ` +
    `would be ${percent(suggested)}. A label that was dropped counts as right if it was wrong.`;
  save();
  refresh();
}

async function copy() {
  const text = at("command").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a page that is not from a secure address
    getSelection().selectAllChildren(at("command"));
    document.execCommand("copy");
  }
  say("The command is copied");
}

// --- keys and clicks --------------------------------------------------------------------------------------------------

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const letter = event.key.toLowerCase(), step = {arrowdown: 1, arrowright: 1, arrowup: -1, arrowleft: -1}[letter];
  if (letter === "enter" && event.target.closest("button, a, summary") || current === undefined) return;
  if (letter === "u") undo();
  else if (step && (isInView(current) || event.target.closest(".card"))) {
    const place = shown.indexOf(current) + step;
    if (shown[place] !== undefined) go(shown[place]);
  } else if (["enter", "k", "d", "/"].includes(letter)) {
    if (!isInView(current)) go(current); // nobody decides about what is not seen
    else if (letter === "/") choose(current);
    else decide([[kind, current, {enter: cards()[current].suggested, k: KEEP, d: DROP}[letter]]], current);
  } else return;
  event.preventDefault();
}

function start() {
  at("review").hidden = false;
  for (const each of document.querySelectorAll(".next")) each.hidden = false;
  at("kinds").hidden = !data.groups;
  at("made").hidden = !data.truth;
  at("next").hidden = !data.command;
  if (!storage) save();
  if (data.reserved.length) {
    at("trouble").textContent = `A class is called ${data.reserved.join(" and ")}, as a decision is: rename the class first.`;
    at("trouble").hidden = false;
  }
  const byGroup = data.groups && data.samples.cards.length && data.samples.cards.every(card => card.group !== undefined);
  showKind(byGroup ? "groups" : "samples");
  changed = false;
  if (state.undo.length && current !== undefined) go(current);
  for (const id of ["of-given", "of-suggested", "of-status", "of-decided", "sort"]) at(id).addEventListener("change", show);
  at("search").addEventListener("input", show);
  at("least").addEventListener("input", countSeveral);
  at("clear").addEventListener("click", () => { clearFilters(); show(); });
  at("undo").addEventListener("click", undo);
  at("start").addEventListener("click", () => go(current));
  at("download").addEventListener("click", () => download("samples"));
  at("download-groups").addEventListener("click", () => download("groups"));
  at("finish").addEventListener("click", finish);
  at("copy").addEventListener("click", copy);
  at("load").addEventListener("change", () => load(at("load").files[0]).finally(() => { at("load").value = ""; }));
  at("kinds").addEventListener("click", event => event.target.dataset.kind && showKind(event.target.dataset.kind));
  at("accept").addEventListener("click", () => {
    const found = several();
    decide(found.map(number => [kind, number, cards()[number].suggested]));
    say(`${found.length} suggestions accepted (U: undo)`);
  });
  at("cards").addEventListener("click", event => {
    const item = event.target.closest(".card");
    if (item && !event.target.closest("button, input, summary")) go(Number(item.dataset.number));
  });
  at("classes").addEventListener("click", event => {
    const link = event.target.closest("a");
    if (!link) return;
    clearFilters();
    if (kind === "groups") showKind("samples");
    at("of-given").value = names[link.dataset.given];
    at("of-suggested").value = names[link.dataset.suggested] ?? "";
    at("finding").open = true;
    show();
  });
  document.addEventListener("keydown", press);
  addEventListener("storage", event => { if (event.key === key) { state = read(); refresh(); } }); // another tab
  addEventListener("beforeprint", () => [...at("cards").children].forEach(draw));
  addEventListener("beforeunload", event => { if (changed && !at("not-kept").hidden) event.preventDefault(); });
}

if (at("review")) start();
