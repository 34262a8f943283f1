// The gallery: filters, and pages of clips that load as the user scrolls.
import { ask } from "./api.js";
import { count, h, trying } from "./dom.js";
import { tile } from "./tile.js";

let filters = {}; // kept while other views are open

export async function gallery(view, about) {
  const grid = h("section", { className: "tiles", "aria-label": "Clips" });
  const summary = h("div", { className: "summary faint", role: "status" });
  const more = h("button", { className: "more", hidden: true, onclick: () => load() }, "More");
  let after = "", busy = false, version = 0; // the version of the filters

  async function load() {
    if (busy) return;
    busy = true;
    const loading = version;
    const found = await trying(() => ask("clips", { ...filters, after }));
    busy = false;
    if (loading !== version) return load(); // the filters changed meanwhile
    if (!found) { more.hidden = true; return; }
    if (!after) {
      const any = found.cards.length > 0 || found.next;
      summary.textContent = found.count === null ? "" : `${count(found.count)} ${found.count === 1 ? "clip" : "clips"}`;
      grid.replaceChildren(...(any ? [] : [h("p", { className: "empty" }, "No clip matches these filters.")]));
    }
    grid.append(...found.cards.map((card) => tile(card)));
    after = found.next ?? "";
    more.hidden = !found.next;
    if (found.next && (found.cards.length === 0 || more.getBoundingClientRect().top < innerHeight + 600)) load();
  }

  function again() {
    version += 1;
    after = "";
    if (!busy) load();
  }

  view.replaceChildren(bar(about, again), summary, grid, more);
  new IntersectionObserver((entries) => { if (entries[0].isIntersecting && !more.hidden) load(); }, { rootMargin: "600px" })
    .observe(more);
  await load();
}

function bar(about, again) {
  let waiting;
  const changed = (name, value) => {
    filters = { ...filters, [name]: value };
    clearTimeout(waiting);
    waiting = setTimeout(again, 250);
  };
  const input = (name, properties) =>
    h("input", { name, value: filters[name] ?? "", oninput: (e) => changed(name, e.target.value), ...properties });
  const choose = (name, values) =>
    h("label", {}, name, h("select", { name, onchange: (e) => changed(name, e.target.value) },
      h("option", { value: "" }, "any"),
      values.map(([value, n]) => h("option", { value, selected: filters[name] === value },
        `${value === "?" ? "unknown" : value} (${count(n)})`))));
  const number = (name, placeholder, step = 0.5) => input(name, { type: "number", min: 0, step, placeholder });
  const form = h("form", { className: "filters", onsubmit: (e) => e.preventDefault() },
    h("label", { className: "wide" }, "person", input("identity", { type: "search", placeholder: "part of a name" })),
    Object.entries(about.values).filter(([name]) => name !== "identity").map(([name, values]) => choose(name, values)),
    h("label", {}, "length in s", h("span", { className: "span" }, number("min_s", "min"), number("max_s", "max"))),
    h("label", {}, "face quality", number("min_quality", "min, 0 to 1", 0.05)),
    h("label", { className: "sql" }, "SQL filter",
      input("where", { placeholder: "end_s - start_s > 2 AND speaking_score > 0.8", spellcheck: false, autocomplete: "off" })),
    h("button", { className: "opener", type: "button", onclick: () => form.classList.toggle("all") }, "Filters"));
  return form;
}
