// The selected clips, which all views share; while there are some, buttons for them stand at the lower edge.
import { askLabel, askMerge, askReject } from "./correcting.js";
import { byId, clipsOf, h } from "./dom.js";

const chosen = new Set(), watchers = new Set();

export const isSelected = (clip) => chosen.has(clip);
export const selected = () => [...chosen];

// Calls `act` when the selection changes, for as long as `element` is on the page.
export const watch = (element, act) => watchers.add({ element, act });

export function select(clips, { add = false } = {}) {
  if (!add) chosen.clear();
  for (const clip of clips) chosen.add(clip);
  update();
}

export function toggle(clips, on = !clips.every(isSelected)) {
  for (const clip of clips) on ? chosen.add(clip) : chosen.delete(clip);
  update();
}

// Marks the tiles of selected clips, also new ones.
export function mark(tiles = document.querySelectorAll(".tile")) {
  for (const tile of tiles) {
    const on = chosen.has(tile.dataset.clip);
    tile.classList.toggle("picked", on);
    tile.querySelector(".pick").setAttribute("aria-checked", on);
  }
}

function update() {
  const clips = selected(), bar = byId("selection");
  bar.hidden = !clips.length;
  document.body.classList.toggle("selecting", clips.length > 0);
  bar.replaceChildren(h("b", {}, `${clipsOf(clips.length)} selected`),
    h("button", { onclick: () => askLabel(clips) }, "Label …"),
    h("button", { onclick: () => askMerge(clips) }, "Merge …"),
    h("button", { className: "bad", onclick: () => askReject(clips) }, "Reject …"),
    h("button", { className: "plain", onclick: () => select([]) }, "Clear"));
  mark();
  for (const watcher of watchers) {
    if (watcher.element.isConnected) watcher.act();
    else watchers.delete(watcher);
  }
}
