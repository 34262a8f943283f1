// Dialogs for corrections: each asks for a reason and a name, and offers to undo it at once.
import { ask, edit } from "./api.js";
import { byId, h, meta, toast, trying } from "./dom.js";
import { nameOf } from "./tile.js";

const REASONS = ["another person speaks", "not this face", "two people talk", "dubbed", "poor image", "noise", "checked by eye"];
let changed = () => {};
export const onChange = (act) => { changed = act; };

async function save(body, message) {
  const saved = await trying(() => edit(body));
  if (!saved) return false;
  toast(message, "Undo", () => undo(saved.edit_id, body.who));
  changed(body);
  return true;
}

export async function undo(editId, who = remembered(), why = "undone in the browser") {
  if (!(await trying(() => edit({ action: "undo", subject: editId, who, why })))) return;
  toast("Undone.");
  changed({ action: "undo" });
}

const remembered = () => localStorage.getItem("vclip-who") || meta("who");

function dialog(title, text, fields, label, act) {
  const who = h("input", { name: "who", value: remembered(), required: true, autocomplete: "name" });
  const why = h("input", { name: "why", required: true, autocomplete: "off", list: "reasons" });
  const form = h("form", {
    method: "dialog",
    onsubmit: async (event) => {
      event.preventDefault();
      localStorage.setItem("vclip-who", who.value);
      if (await act({ who: who.value, why: why.value })) byId("ask").close();
    },
  }, h("h2", {}, title), text && h("p", { className: "faint" }, text), ...fields, h("label", {}, "reason", why),
  h("label", {}, "your name", who), h("datalist", { id: "reasons" }, REASONS.map((value) => h("option", { value }))),
  h("div", { className: "ends" },
    h("button", { type: "button", onclick: () => byId("ask").close() }, "Cancel"),
    h("button", { className: "first" }, label)));
  byId("ask").replaceChildren(form);
  byId("ask").showModal();
  form.querySelector("input").focus();
}

async function suggestions(name, id) {
  const values = await ask(`values/${name}`).catch(() => []);
  return h("datalist", { id }, values.filter(([value]) => value !== "?").map(([value]) => h("option", { value })));
}

export function askReject(card) {
  dialog("Reject this clip", "The clip, its faces and its voices will no longer be shown, searched or used for training. Nothing is deleted.",
    [], "Reject", (signed) => save({ action: "reject", subject: card.clip_id, ...signed }, "Clip rejected."));
}

export async function askLabel(card, name) {
  const value = h("input", { name: "value", value: card[name] ?? "", autocomplete: "off", list: "known" });
  const fields = [h("label", {}, `${name} (leave empty if unknown)`, value), await suggestions(name, "known")];
  dialog(`Correct the ${name}`, `Changes this clip of ${nameOf(card)} only.`, fields, "Correct", (signed) =>
    save({ action: "label", subject: card.clip_id, name, value: value.value, ...signed }, `${name} corrected.`));
}

export async function askMerge(card) {
  const kept = h("input", { name: "kept", required: true, autocomplete: "off", list: "people" });
  const fields = [h("label", {}, `${card.identity} is the same person as`, kept), await suggestions("identity", "people")];
  dialog("Merge two people", `All clips of ${card.identity}, including future ones, will belong to the other person.`, fields, "Merge",
    (signed) => save({ action: "merge", subject: card.identity, value: kept.value, ...signed },
      `${card.identity} merged into ${kept.value}.`));
}
