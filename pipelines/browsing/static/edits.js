// The list of corrections, the newest first; what one action corrected is one row, and is undone as a whole.
import { here } from "./address.js";
import { ask } from "./api.js";
import { undo } from "./correcting.js";
import { clipsOf, count, h, trying } from "./dom.js";

export async function corrections(view) {
  const answer = await trying(() => ask("edits"));
  if (!answer || here().view !== "edits") return; // another view was opened meanwhile
  const { actions, count: total } = answer;
  const summary = total
    ? `${count(total)} action${total === 1 ? "" : "s"}${total > actions.length ? ` (showing the newest ${actions.length})` : ""}. ` +
      "Search and training use the corrected values; the ingested rows do not change."
    : "No corrections yet. Select clips, or open one, to reject them, to correct their labels, or to merge people.";
  view.replaceChildren(h("p", { className: "faint" }, summary), h("div", { className: "edits" }, actions.map(row)));
}

function row(made) {
  const total = Object.values(made.counts).reduce((sum, n) => sum + n);
  return h("article", { className: `card edit${made.in_force ? "" : " undone"}` },
    h("b", {}, { reject: "✕", label: "✎", merge: "⇒", undo: "↶" }[made.action]),
    h("div", {}, h("div", { className: "did" }, words(made)),
      h("div", { className: "faint" }, `${made.who}, ${new Date(made.created_at).toLocaleString()}: `, h("q", {}, made.why),
        made.in_force > 0 && made.in_force < total && ` (${count(total - made.in_force)} of ${count(total)} undone)`)),
    made.in_force
      ? h("button", { onclick: () => undo(made.edit_id), "aria-label": `Undo: ${words(made)}` }, "Undo")
      : h("span", { className: "faint" }, "undone"));
}

const clips = (n, subject) => (n === 1 ? `clip ${subject}` : clipsOf(n));

function words({ action, subject, name, value, counts: { reject, label, merge, undo: undone } }) {
  if (action === "reject") return `Rejected ${clips(reject, subject)}`;
  if (action === "label") return `Corrected the ${name} of ${clips(label, subject)} to ${value ?? "unknown"}`;
  if (action === "undo") return undone === 1 ? `Undid correction ${subject}` : `Undid ${count(undone)} corrections`;
  const people = merge === 1 ? subject : `${count(merge)} people`;
  return `Merged ${people}${label ? ` and ${clipsOf(label)} without a name` : ""} into ${value}`;
}
