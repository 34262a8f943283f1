// Keys for all views: to move between faces, to select and to correct without a mouse.
import { closeClip } from "./address.js";
import { askLabel, askMerge, askReject, dialog, undoLast } from "./correcting.js";
import { byId, h } from "./dom.js";
import { shownClip } from "./panel.js";
import { isSelected, select, selected, toggle } from "./selection.js";

const KEYS = [["← → ↑ ↓", "move between faces; with Shift, select on the way"], ["Enter", "open the clip"], ["p", "play its voice"],
  ["x", "select it, or not"], ["a", "select all that match the filters"], ["Esc", "close the clip, or clear the selection"],
  ["r", "reject"], ["l", "label"], ["m", "merge people"], ["u", "undo the last action"], ["/", "filter"], ["?", "show these keys"]];
const HELP = "The selection is corrected, or the open clip, or the one in focus. In the gallery, drag a box around faces; " +
  "Ctrl and Shift with a click select one more and a row of them. On the map, draw around points with the lasso.";

const help = () => dialog("Keyboard", [h("dl", { className: "keys" }, KEYS.flatMap(([key, does]) =>
  [h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)])), h("p", { className: "faint" }, HELP)], "", () => true);

const focused = () => document.activeElement?.closest?.("main .tile");

function subject() {
  if (selected().length) return selected();
  const clip = shownClip() ?? focused()?.dataset.clip;
  return clip ? [clip] : null;
}

function move(key, extend) {
  const tiles = [...document.querySelectorAll("main .tile")], at = tiles.indexOf(focused());
  if (!tiles.length) return false;
  const across = tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length;
  const first = tiles.find((tile) => tile.getBoundingClientRect().top > 0) ?? tiles[0];
  const to = at < 0 ? first : tiles[at + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[key]];
  if (extend && at >= 0 && to) toggle([tiles[at], to].map((tile) => tile.dataset.clip), true);
  (to ?? tiles[at]).querySelector(".face").focus({ preventScroll: true });
  (to ?? tiles[at]).scrollIntoView({ block: "nearest" });
  return true;
}

const correct = (act) => () => { const clips = subject(); if (clips) act(clips); };
const ACTS = {
  r: correct(askReject), l: correct((clips) => askLabel(clips)), m: correct(askMerge), u: undoLast, "?": help,
  x: () => { const tile = focused(); if (tile) toggle([tile.dataset.clip], !isSelected(tile.dataset.clip)); },
  a: () => document.querySelector(".all-clips")?.click(),
  p: () => (focused() ?? byId("panel")).querySelector(".play")?.click(),
  "/": () => {
    document.querySelector(".filters")?.classList.add("all");
    document.querySelector(".filters input, .bar select")?.focus();
  },
  Escape: () => (shownClip() ? closeClip() : select([])),
};

addEventListener("keydown", (event) => {
  if (byId("ask").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key.startsWith("Arrow") ? !event.target.closest("#panel") && move(event.key, event.shiftKey) : event.key in ACTS) {
    event.preventDefault();
    ACTS[event.key]?.();
  }
});
byId("help").addEventListener("click", help);
