// The address names the open view, as #faces or #map, and after it the open clip, as #faces/CLIP.
import { addressOf, ask } from "./api.js";
import { onChange } from "./correcting.js";
import { byId, h, trying } from "./dom.js";
import { corrections } from "./edits.js";
import { gallery } from "./gallery.js";
import { map } from "./map.js";
import { closePanel, leave, openPanel } from "./panel.js";
import { photo } from "./photo.js";

const statistics = (view) => view.replaceChildren(h("iframe", { src: addressOf("/api/stats.html"), title: "Statistics of the store" }));
const VIEWS = { faces: gallery, map, photo, statistics, edits: corrections };
let about = await trying(() => ask("store"));
let open = "";

async function show() {
  const [name, clip] = location.hash.slice(1).split("/");
  const view = name in VIEWS ? name : "faces";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (clip) openPanel(clip, about);
  else closePanel();
  if (view === open) return;
  open = view;
  scrollTo(0, 0);
  await VIEWS[view](byId("view"), about);
}

onChange(async ({ action }) => {
  about = (await trying(() => ask("store"))) ?? about;
  open = "";
  if (action === "reject" && location.hash.includes("/")) leave(); // the new address redraws the view
  else show();
});

if (about) {
  byId("store").textContent = `\u200e${about.store}`; // cut at its left end, but written from left to right
  byId("store").title = about.store;
  document.title = `${about.store.split("/").pop()} · Vclip`;
  addEventListener("hashchange", show);
  show();
}
