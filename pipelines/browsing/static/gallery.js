// The gallery: pages of clips that load as the user scrolls.
import { hashOf, here, showFilters } from "./address.js";
import { ask } from "./api.js";
import { boxes } from "./box.js";
import { clipsOf, h, trying } from "./dom.js";
import { bar } from "./filters.js";
import { mark, select } from "./selection.js";
import { tile } from "./tile.js";

const PAGE = 60, LARGEST_PAGE = 200;
let filters = {}; // kept while other views are open
let total = null; // clips that match; null if they were not counted

// Shows the filters of the address or, where it has none, those that were last in use.
export async function gallery(view, about, { keep = 0 } = {}) {
  const given = here().filters;
  if (Object.keys(given).length) filters = given;
  else showFilters(filters);
  const grid = h("section", { className: "tiles", "aria-label": "Clips" });
  const summary = h("div", { className: "summary faint" }, h("span", { role: "status" }),
    h("button", { className: "plain all-clips", hidden: true, onclick: selectAll }, "Select all"));
  const more = h("button", { className: "more", hidden: true, onclick: () => load() }, "More");
  let after = "", busy = false, version = 0; // the version of the filters

  async function load() {
    if (busy) return;
    busy = true;
    const loading = version, left = keep - grid.children.length;
    const found = await trying(() => ask("clips", { ...query(), after, limit: Math.min(Math.max(left, PAGE), LARGEST_PAGE) }));
    busy = false;
    if (!grid.isConnected) return;
    if (loading !== version) return load(); // the filters changed meanwhile
    if (!found) { more.hidden = !after; return; } // a page that did not come can be asked for again
    if (!after) {
      const any = found.cards.length > 0 || found.next;
      total = any ? found.count : 0;
      tell(summary);
      grid.replaceChildren(...(any ? [] : [h("p", { className: "empty" }, "No clip matches these filters.")]));
    }
    const tiles = found.cards.map((card) => tile(card));
    mark(tiles);
    grid.append(...tiles);
    after = found.next ?? "";
    more.hidden = !found.next;
    const wanted = found.cards.length === 0 || grid.children.length < keep || more.getBoundingClientRect().top < innerHeight + 600;
    if (found.next && wanted) await load();
  }

  function again(changed) {
    filters = changed;
    showFilters(filters);
    version += 1;
    after = "";
    keep = 0;
    if (!busy) load();
  }

  function open(chosen) {
    filters = chosen;
    showFilters(filters);
    gallery(view, about);
  }

  boxes(grid);
  const held = view.querySelector(".tile:focus-within")?.dataset.clip; // a correction makes the tiles anew
  view.replaceChildren(bar(about, filters, again, open), summary, grid, more);
  new IntersectionObserver((entries) => { if (entries[0].isIntersecting && !more.hidden) load(); }, { rootMargin: "600px" })
    .observe(more);
  await load();
  if (held && document.activeElement === document.body)
    grid.querySelector(`[data-clip="${CSS.escape(held)}"] .face`)?.focus({ preventScroll: true });
}

// Whether an address asks for other filters than the gallery shows.
export const differs = (given) => Object.keys(given).length > 0 && JSON.stringify(given) !== JSON.stringify(here(hashOf({ view: "faces", clip: "", filters })).filters);

// Takes rejected clips out of the page, which stays where it is.
export async function drop(view, clips) {
  const gone = new Set(clips), tiles = [...view.querySelectorAll(".tile")];
  const focused = tiles.indexOf(document.activeElement.closest(".tile"));
  const next = tiles.slice(Math.max(focused, 0)).find((tile) => !gone.has(tile.dataset.clip));
  for (const tile of tiles) if (gone.has(tile.dataset.clip)) tile.remove();
  if (focused >= 0) next?.querySelector(".face").focus({ preventScroll: true });
  const summary = view.querySelector(".summary");
  const counted = await trying(() => ask("clips", { ...query(), limit: 1 })); // not all of them need match the filters
  if (counted) total = counted.count;
  tell(summary);
}

function tell(summary) {
  const [text, all] = summary.children;
  text.textContent = total === null ? "" : clipsOf(total);
  all.hidden = total === 0;
}

const query = () => ({ ...filters, saved: "" });

async function selectAll() {
  const found = await trying(() => ask("selection", query()));
  if (found) select(found.clips);
}
