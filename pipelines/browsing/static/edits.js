// The list of corrections, the newest first.
import { ask } from "./api.js";
import { undo } from "./correcting.js";
import { count, h, trying } from "./dom.js";

export async function corrections(view) {
  const answer = await trying(() => ask("edits"));
  if (!answer) return;
  const { edits, count: total } = answer;
  const summary = total
    ? `${count(total)} correction${total === 1 ? "" : "s"}${total > edits.length ? ` (showing the newest ${edits.length})` : ""}. ` +
      "Search and training use the corrected values; the ingested rows do not change."
    : "No corrections yet. Open a clip to reject it, to correct its labels, or to merge two people.";
  view.replaceChildren(h("p", { className: "faint" }, summary), h("div", { className: "edits" }, edits.map(row)));
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
  if (action === "label") return `${name} of clip ${subject} corrected to ${value ?? "unknown"}`;
  if (action === "merge") return `${subject} merged into ${value}`;
  return `Correction ${subject} undone`;
}
