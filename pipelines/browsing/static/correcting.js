// Corrections: what, who and why are asked for; what was done can be undone at once.
import { ask, edit } from "./api.js";
import { byId, h, meta, toast, trying } from "./dom.js";
import { nameOf } from "./tile.js";

const REASONS = ["another person speaks", "not this face", "two people talk", "dubbed", "poor picture", "noise", "seen by eye"];
let changed = () => {};
export const onChange = (act) => { changed = act; };

async function carryOut(body, said) {
  const made = await trying(() => edit(body));
  if (!made) return false;
  toast(said, "Undo", () => undo(made.edit_id, body.who));
  changed(body);
  return true;
}

export async function undo(editId, who = remembered(), why = "undone on the page") {
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
  }, h("h2", {}, title), text && h("p", { className: "faint" }, text), ...fields, h("label", {}, "why", why),
  h("label", {}, "who says so", who), h("datalist", { id: "reasons" }, REASONS.map((value) => h("option", { value }))),
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
  dialog("Reject this clip", "With its faces and voices it is no longer shown, searched or trained on. Nothing is deleted.",
    [], "Reject", (signed) => carryOut({ action: "reject", subject: card.clip_id, ...signed }, "Clip rejected."));
}

export async function askLabel(card, name) {
  const value = h("input", { name: "value", value: card[name] ?? "", autocomplete: "off", list: "known" });
  const fields = [h("label", {}, `${name} (empty where it is not known)`, value), await suggestions(name, "known")];
  dialog(`Correct the ${name}`, `Of this clip of ${nameOf(card)} alone.`, fields, "Correct", (signed) =>
    carryOut({ action: "label", subject: card.clip_id, name, value: value.value, ...signed }, `${name} corrected.`));
}

export async function askMerge(card) {
  const kept = h("input", { name: "kept", required: true, autocomplete: "off", list: "people" });
  const fields = [h("label", {}, `${card.identity} is`, kept), await suggestions("identity", "people")];
  dialog("Two names, one person", `All clips of ${card.identity}, also later ones, become those of the other.`, fields, "Merge",
    (signed) => carryOut({ action: "merge", subject: card.identity, value: kept.value, ...signed },
      `${card.identity} is ${kept.value} now.`));
}
