// All corrections, the newest first.
import { ask } from "./api.js";
import { undo } from "./correcting.js";
import { count, h, trying } from "./dom.js";

export async function corrections(view) {
  const found = await trying(() => ask("edits"));
  if (!found) return;
  const { edits } = found;
  const told = found.count
    ? `${count(found.count)} correction${found.count === 1 ? "" : "s"}${found.count > edits.length ? `, the newest ${edits.length} shown` : ""}. ` +
      "Search and training read the store as corrected; what was ingested stays as it was."
    : "Nobody has corrected anything yet. Open a clip to reject it, to correct what is known of it, or to merge two people.";
  view.replaceChildren(h("p", { className: "faint" }, told), h("div", { className: "edits" }, edits.map(row)));
}

function row(edit) {
  return h("article", { className: `card edit${edit.in_force ? "" : " undone"}` },
    h("b", {}, { reject: "✕", label: "✎", merge: "⇒", undo: "↶" }[edit.action]),
    h("div", {}, h("div", { className: "did" }, words(edit)),
      h("div", { className: "faint" }, `${edit.who}, ${new Date(edit.created_at).toLocaleString()}: `, h("q", {}, edit.why))),
    edit.in_force
      ? h("button", { onclick: () => undo(edit.edit_id), "aria-label": `Undo: ${words(edit)}` }, "Undo")
      : h("span", { className: "faint" }, "undone"));
}

function words({ action, subject, name, value }) {
  if (action === "reject") return `Clip ${subject} rejected`;
  if (action === "label") return `${name} of clip ${subject}: ${value ?? "not known"}`;
  if (action === "merge") return `${subject} is ${value}`;
  return `Undid ${subject}`;
}
