// The views of the page; see address.js for how the address names them.
import { closeClip, here } from "./address.js";
import { addressOf, ask } from "./api.js";
import { know, onChange } from "./correcting.js";
import { byId, h, trying } from "./dom.js";
import { corrections } from "./edits.js";
import { differs, drop, gallery } from "./gallery.js";
import "./keyboard.js";
import { map } from "./map.js";
import { closePanel, openPanel } from "./panel.js";
import { photo } from "./photo.js";
import { select } from "./selection.js";

function statistics(view) {
  const waiting = h("p", { className: "faint" }, "Counting …");
  view.replaceChildren(waiting, h("iframe", {
    src: addressOf("/api/stats.html"), title: "Statistics of the store", onload: () => waiting.remove(),
  }));
}

const VIEWS = { faces: gallery, map, photo, statistics, edits: corrections };
let about = null, open = "";

async function learn() {
  about = (await trying(() => ask("store"))) ?? about;
  know(about);
}

async function show() {
  const { view: name, clip, filters } = here(), view = name in VIEWS ? name : "faces";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (clip) openPanel(clip, about);
  else closePanel();
  if (view === open && !(view === "faces" && differs(filters))) return;
  open = view;
  scrollTo(0, 0);
  await VIEWS[view](byId("view"), about);
}

// A correction leaves the view where it is.
onChange(async ({ action, clips }) => {
  if (action !== "undo") select([]);
  if (action === "reject" && here().clip) closeClip();
  await learn();
  if (open === "faces" && action === "reject") return drop(byId("view"), clips);
  const { scrollX: x, scrollY: y } = window;
  await VIEWS[open](byId("view"), about, { keep: document.querySelectorAll("main .tile").length });
  scrollTo(x, y);
  const { clip } = here();
  if (clip) openPanel(clip, about);
});

await learn();
if (about) {
  byId("store").textContent = `\u200e${about.store}`; // cut at its left end, but written from left to right
  byId("store").title = about.store;
  document.title = `${about.store.split("/").pop()} · Vclip`;
  addEventListener("hashchange", show);
  show();
}
