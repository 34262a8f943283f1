// Dialogs for corrections of one clip or of many: each names what will change, asks for a reason and a name, and
// offers to undo the whole at once.
import { ask, edit, sendSelection } from "./api.js";
import { byId, clipsOf, count, h, meta, toast, trying } from "./dom.js";
import { keep, kept } from "./kept.js";
import { face } from "./tile.js";

const REASONS = ["another person speaks", "not this face", "two people talk", "dubbed", "poor image", "noise", "checked by eye"];
const SHOWN = 12; // faces of the clips that change
const made = []; // what this page corrected and did not undo, the newest last
let about, changed = () => {};
export const onChange = (act) => { changed = act; };
export const know = (store) => { about = store; };

async function save(body, message) {
  const saved = await trying(() => edit(body));
  if (!saved) return false;
  made.push(saved.edit_id);
  toast(message, "Undo", () => undo(saved.edit_id));
  changed(body);
  return true;
}

export async function undo(editId) {
  const undone = await trying(() => edit({ action: "undo", edit_id: editId, who: remembered(), why: "undone in the browser" }));
  if (!undone) return;
  if (made.includes(editId)) made.splice(made.indexOf(editId), 1);
  toast(`${correctionsOf(undone.edits)} undone.`, "Redo", () => redo(undone.edit_id, editId));
  changed({ action: "undo" });
}

// What is redone can be undone again, with the button or with the key.
async function redo(undoId, editId) {
  const redone = await trying(() => edit({ action: "undo", edit_id: undoId, who: remembered(), why: "redone in the browser" }));
  if (!redone) return;
  made.push(editId);
  toast(`${correctionsOf(redone.edits)} redone.`, "Undo", () => undo(editId));
  changed({ action: "undo" });
}

const correctionsOf = (n) => `${count(n)} ${n === 1 ? "correction" : "corrections"}`;

export const undoLast = () => (made.length ? undo(made.at(-1)) : toast("This page has corrected nothing since it was opened; see Corrections for the rest."));

const remembered = () => kept("vclip-who") || meta("who");

export function dialog(title, content, label, act) {
  const form = h("form", { method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    const button = form.querySelector(".first");
    button.disabled = true;
    if (await act()) byId("ask").close();
    button.disabled = false;
  } }, h("h2", {}, title), ...content.filter(Boolean), h("div", { className: "ends" },
    label && h("button", { type: "button", onclick: () => byId("ask").close() }, "Cancel"),
    h("button", { className: "first" }, label || "Close")));
  byId("ask").replaceChildren(form);
  byId("ask").showModal();
  form.querySelector("input, select, button")?.focus();
}

// A dialog whose action is signed with a name and a reason.
function correction(title, clips, text, fields, label, act) {
  const who = h("input", { name: "who", value: remembered(), required: true, autocomplete: "name" });
  const why = h("input", { name: "why", required: true, autocomplete: "off", list: "reasons" });
  dialog(title, [h("p", { className: "faint" }, text), clips.length > 1 && faces(clips), ...fields,
    h("label", {}, "reason", why), h("label", {}, "your name", who),
    h("datalist", { id: "reasons" }, REASONS.map((value) => h("option", { value })))], label, () => {
    keep("vclip-who", who.value);
    return act({ who: who.value, why: why.value });
  });
}

// Some of the faces of the clips, drawn evenly from them.
function faces(clips) {
  const some = clips.filter((_, i) => Math.floor((i * SHOWN) / clips.length) !== Math.floor(((i - 1) * SHOWN) / clips.length));
  const place = h("div", { className: "some" });
  ask("clips", { where: `clip_id IN ('${some.join("','")}')` }).then(({ cards }) => place.append(
    ...cards.map((card) => face(card.face_id)),
    ...(clips.length > cards.length ? [h("span", { className: "faint" }, `and ${count(clips.length - cards.length)} more`)] : [])), () => {});
  return place;
}

async function suggestions(name, list) {
  const values = await ask(`values/${name}`).catch(() => []);
  list.replaceChildren(...values.filter(([value]) => value !== "?").map(([value]) => h("option", { value })));
}

export function askReject(clips) {
  const what = clips.length === 1 ? "this clip" : clipsOf(clips.length);
  correction(`Reject ${what}`, clips,
    `${clips.length === 1 ? "The clip, its" : "The clips, their"} faces and voices will no longer be shown, searched or used for training. Nothing is deleted, and the action can be undone.`,
    [], `Reject ${what}`, (signed) => save({ action: "reject", clips, ...signed }, `${clipsOf(clips.length)} rejected.`));
}

export function askLabel(clips, name, current = "") {
  const value = h("input", { name: "value", value: current, autocomplete: "off", list: "known" });
  const known = h("datalist", { id: "known" }), what = clips.length === 1 ? "this clip" : clipsOf(clips.length);
  const column = name ?? h("select", { name: "name", onchange: () => suggestions(column.value, known) },
    about.editable.map((option) => h("option", { value: option }, option)));
  const chosen = () => name ?? column.value;
  suggestions(chosen(), known);
  correction(name ? `Correct the ${name}` : `Label ${what}`, clips, `Changes ${what} only.`,
    [!name && h("label", {}, "label", column), h("label", {}, `${name ?? "value"} (leave empty if unknown)`, value), known],
    name ? "Correct" : `Label ${what}`, (signed) =>
      save({ action: "label", clips, name: chosen(), value: value.value, ...signed }, `${chosen()} of ${clipsOf(clips.length)} corrected.`));
}

export async function askMerge(clips) {
  const found = await trying(() => sendSelection(clips));
  if (!found) return;
  const { people, unnamed } = found, whole = people.reduce((sum, person) => sum + person.clips, 0);
  const kept = h("input", { name: "kept", required: true, autocomplete: "off", list: "people",
    value: people.length > 1 || unnamed ? people[0]?.identity ?? "" : "" });
  const known = h("datalist", { id: "people" });
  suggestions("identity", known);
  const names = people.slice(0, 6).map(({ identity, clips: n }) => `${identity} (${clipsOf(n)})`).join(", ");
  const text = [people.length > 0 && `${count(people.length)} ${people.length === 1 ? "person" : "people"}: ${names}${people.length > 6 ? " and others" : ""}. ` +
    `All ${clipsOf(whole)} of them, selected or not, and future ones, will belong to the person below.`,
  unnamed > 0 && `${clipsOf(unnamed)} without a name will belong to that person too.`].filter(Boolean).join(" ");
  correction("Merge into one person", clips, text, [h("label", {}, "the person that stays", kept), known], `Merge ${clipsOf(whole + unnamed)}`, (signed) =>
    save({ action: "merge", clips, value: kept.value, ...signed }, `${clipsOf(whole + unnamed)} merged into ${kept.value}.`));
}
