"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const storageKey = `vclip-listening-${data.test}`;
const get = (id) => document.getElementById(id);
const items = Object.fromEntries(data.items.map((item) => [item.id, item]));
const audio = new Audio();
let state = null; // of the listener: the trials in order, with the ratings so far, and the current trial

function load() {
  try { return JSON.parse(localStorage.getItem(storageKey)); } catch { return null; }
}

function save() {
  try { localStorage.setItem(storageKey, JSON.stringify(state)); return true; } catch { return false; }
}

function shuffled(list) {
  const order = [...list];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor((crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function begin() {
  const listener = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");
  // Naturalness first, before listeners have seen faces with the voices; each part has its own random order.
  const trials = Object.keys(data.questions).flatMap((question) =>
    shuffled(Object.keys(items)).map((item) => ({ question, item })));
  state = { test: data.test, listener, name: get("name").value.trim(), started: new Date().toISOString(), at: 0, trials };
  save();
  show();
}

function view(name) {
  for (const id of ["start", "rate", "end"]) get(id).hidden = id !== name;
  scrollTo(0, 0);
}

function show() {
  audio.pause();
  if (!state) return welcome();
  if (state.at >= state.trials.length) { view("end"); return get("download").focus(); }
  view("rate");
  const trial = state.trials[state.at], { question, scale } = data.questions[trial.question];
  get("done").max = state.trials.length;
  get("done").value = state.trials.filter((t) => t.rating).length;
  get("where").textContent = `${state.at + 1} of ${state.trials.length}`;
  get("question").textContent = question;
  get("face").hidden = trial.question !== "matching";
  get("face").src = trial.question === "matching" ? items[trial.item].face : "";
  audio.src = items[trial.item].audio;
  get("heard").value = 0;
  for (const label of get("scale").querySelectorAll("label")) label.remove();
  scale.forEach((words, i) => get("scale").append(choice(scale.length - i, words, trial)));
  open(trial.rating !== undefined);
  playing(false);
  get("back").disabled = state.at === 0;
  get("next").disabled = !trial.rating;
  get("play").focus({ preventScroll: true }); // a disabled button with the focus would swallow the keys
}

function choice(rating, words, trial) {
  const label = document.createElement("label"), input = document.createElement("input"), number = document.createElement("b");
  Object.assign(input, { type: "radio", name: "rating", value: rating, checked: trial.rating === rating });
  input.addEventListener("change", () => rate(rating));
  number.textContent = rating;
  label.append(input, number, words);
  return label;
}

function open(heard) {
  get("scale").disabled = !heard;
  get("legend").textContent = heard ? "Choose one" : "Listen to the end first";
}

function rate(rating) {
  if (get("scale").disabled) return;
  state.trials[state.at].rating = rating;
  get("scale").querySelector(`input[value="${rating}"]`).checked = true;
  get("done").value = state.trials.filter((t) => t.rating).length;
  get("next").disabled = false;
  save();
}

function step(by) {
  if (by > 0 && get("next").disabled || by < 0 && state.at === 0) return;
  state.at += by;
  if (state.at === state.trials.length) state.finished = new Date().toISOString();
  save();
  show();
}

function playing(is) {
  get("sign").textContent = is ? "❚❚" : "▶";
  get("verb").textContent = is ? "Pause" : "Play";
}

function toggle() {
  if (audio.paused) audio.play().catch(() => playing(false));
  else audio.pause();
}

function download() {
  const { test, listener, name, started, finished, trials } = state;
  const answers = { test, listener, name, started, finished, ratings: trials };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(answers, null, 1)], { type: "application/json" }));
  link.download = `answers_${listener}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function welcome() {
  view("start");
  get("count").textContent = data.items.length;
  get("parts").replaceChildren(...Object.values(data.questions).map(({ instruction }) => {
    const line = document.createElement("li");
    line.textContent = instruction;
    return line;
  }));
  try { localStorage.setItem(`${storageKey}-tried`, "1"); localStorage.removeItem(`${storageKey}-tried`); }
  catch { get("unsaved").hidden = false; }
  get("name").focus();
}

function anew() {
  if (!confirm("Have you downloaded your answers? They will be removed from this browser.")) return;
  state = null;
  try { localStorage.removeItem(storageKey); } catch { /* nothing was saved */ }
  get("name").value = "";
  show();
}

audio.addEventListener("play", () => playing(true));
audio.addEventListener("pause", () => playing(false));
audio.addEventListener("ended", () => { get("heard").value = 1; open(true); });
audio.addEventListener("timeupdate", () => { get("heard").value = audio.currentTime / (audio.duration || 1); });
get("begin").addEventListener("click", begin);
get("name").addEventListener("keydown", (event) => { if (event.key === "Enter") begin(); });
get("play").addEventListener("click", toggle);
get("next").addEventListener("click", () => step(1));
get("back").addEventListener("click", () => step(-1));
get("review").addEventListener("click", () => step(-1));
get("download").addEventListener("click", download);
get("anew").addEventListener("click", anew);

const actions = { " ": toggle, Enter: () => step(1), Backspace: () => step(-1) };
document.addEventListener("keydown", (event) => {
  if (get("rate").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (/^[1-5]$/.test(event.key)) return rate(Number(event.key));
  // A key on a focused button presses the button; but Enter continues once the item is rated.
  const onward = event.key === "Enter" && event.target === get("play") && !get("next").disabled;
  const pressed = event.target.tagName === "BUTTON" && event.key !== "Backspace" && !onward;
  if (!actions[event.key] || pressed) return;
  event.preventDefault();
  actions[event.key]();
});

state = load();
show();
