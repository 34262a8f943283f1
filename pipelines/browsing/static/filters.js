// The filters of the gallery, and those that were saved under a name: in this browser, and as the address of the page.
import { count, h, toast } from "./dom.js";
import { dialog } from "./correcting.js";
import { keep, kept } from "./kept.js";
import { wordsOf } from "./words.js";

const store = (about) => `vclip-filters ${about.store}`;
const savedOf = (about) => JSON.parse(kept(store(about)) ?? "{}");

// A form of the filters; `again` takes them as they change, `open` shows the gallery anew with others.
export function bar(about, filters, again, open) {
  let waiting;
  const changed = (name, value, wait = 250) => {
    filters = { ...filters, [name]: value, saved: "" };
    clearTimeout(waiting);
    waiting = setTimeout(() => { again(filters); names.replaceWith(names = saved(about, filters, open)); }, wait);
  };
  const input = (name, properties) =>
    h("input", { name, value: filters[name] ?? "", oninput: (e) => changed(name, e.target.value), ...properties });
  const choose = (name, label, options) =>
    h("label", {}, label, h("select", { name, onchange: (e) => changed(name, e.target.value, 0) },
      h("option", { value: "" }, "any"), options.map(([value, text]) => h("option", { value, selected: filters[name] === value }, text))));
  const number = (name, placeholder, step = 0.5) => input(name, { type: "number", min: 0, step, placeholder });
  const any = (name, placeholder) => input(name, { type: "number", step: "any", placeholder });
  let names = saved(about, filters, open);
  const form = h("form", { className: "filters", onsubmit: (e) => e.preventDefault() },
    h("label", { className: "wide" }, "person", input("identity", { type: "search", placeholder: "part of a name" })),
    Object.entries(about.values).filter(([name]) => name !== "identity").map(([name, values]) =>
      choose(name, name, values.map(([value, n]) => [value, `${value === "?" ? "unknown" : value} (${count(n)})`]))),
    h("label", {}, "length in s", h("span", { className: "span" }, number("min_s", "min"), number("max_s", "max"))),
    h("label", {}, "face quality", number("min_quality", "min, 0 to 1", 0.05)),
    choose("measure", "measure", about.measures.map((name) => [name, wordsOf(name)])),
    h("label", {}, "its value", h("span", { className: "span" }, any("low", "min"), any("high", "max"))),
    h("label", { className: "sql" }, "SQL filter",
      input("where", { placeholder: "end_s - start_s > 2 AND speaking_score > 0.8", spellcheck: false, autocomplete: "off" })),
    h("button", { className: "opener", type: "button", onclick: () => form.classList.toggle("all") }, "Filters"));
  return h("div", {}, form, names);
}

// The names of saved filters, and buttons to save and to share those in use.
function saved(about, filters, open) {
  const known = savedOf(about), used = Object.entries(filters).filter(([name, value]) => value !== "" && name !== "saved");
  const keepAll = (all) => keep(store(about), JSON.stringify(all));
  const chip = ([name, some]) => h("span", { className: "chip" },
    h("button", { type: "button", "aria-pressed": filters.saved === name, onclick: () => open({ ...some, saved: name }) }, name),
    h("button", { type: "button", className: "plain", "aria-label": `Forget ${name}`, title: "Forget", onclick: () => {
      const { [name]: forgotten, ...others } = savedOf(about);
      keepAll(others);
      open({ ...filters, saved: "" });
      toast(`The filters ${name} are forgotten.`, "Undo", () => { keepAll({ ...savedOf(about), [name]: forgotten }); open(filters); });
    } }, "×"));
  const ask = () => {
    const name = h("input", { name: "filters", required: true, maxLength: 60, autocomplete: "off", value: filters.saved ?? "" });
    dialog("Save these filters", [h("p", { className: "faint" }, "Kept in this browser. To share them, copy the link."), h("label", {}, "name", name)], "Save", () => {
      const named = { ...Object.fromEntries(used), saved: name.value.trim() };
      keepAll({ ...savedOf(about), [named.saved]: Object.fromEntries(used) });
      open(named);
      return true;
    });
  };
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      toast("Link copied.");
    } catch { // only secure pages may write to the clipboard
      toast("The address of this page is the link.");
    }
  };
  const own = filters.saved && !(filters.saved in known) && h("b", {}, `${filters.saved} (from a link)`);
  return h("div", { className: "saved" }, own, Object.entries(known).map(chip), used.length > 0 && [
    h("button", { type: "button", className: "plain", onclick: ask }, "Save filters …"),
    h("button", { type: "button", className: "plain", onclick: copy }, "Copy link"),
    h("button", { type: "button", className: "plain", onclick: () => open({}) }, "Clear filters")]);
}
