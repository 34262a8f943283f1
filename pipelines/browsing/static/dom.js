// Builds elements and formats values. All text is inserted as text, never as markup.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);
export const meta = (name) => document.querySelector(`meta[name=vclip-${name}]`).content;
export const count = (n) => n.toLocaleString("en");
export const clipsOf = (n) => `${count(n)} ${n === 1 ? "clip" : "clips"}`;
// As pipelines/wording.py writes them elsewhere: three significant digits; percent without a space, small shares with
// two digits, and what is less than the whole is not "100%".
export const number = (value) => (Math.abs(value) >= 100 ? count(Math.round(value)) : String(+value.toPrecision(3)));
export function percent(share) {
  if (share > 0.99 && share < 1) return `${(100 * share).toFixed(Math.ceil(-Math.log10(1 - share)) - 2)}%`;
  return `${share > 0 && share < 0.1 ? +(100 * share).toPrecision(2) : Math.round(100 * share)}%`;
}
export const fileOf = (uri) => uri.split(/[\\/]/).pop();

export function seconds(s) {
  const whole = Math.round(s);
  if (whole < 60) return `${s.toFixed(s < 9.95 ? 1 : 0)} s`;
  return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
}

export function clock(s) {
  const tenths = Math.round(10 * s);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

let fading;
export function toast(text, label, act) {
  const button = label && h("button", { onclick: () => { byId("toast").replaceChildren(); act(); } }, label);
  byId("toast").replaceChildren(...[h("span", {}, text), button].filter(Boolean));
  for (const open of [false, true]) byId("toast").togglePopover?.(open); // anew: over a dialog that was opened since
  clearTimeout(fading);
  fading = setTimeout(() => byId("toast").replaceChildren(), label ? 9000 : 5000);
}

// Runs an action that may fail, and shows its error message.
export async function trying(act) {
  try {
    return await act();
  } catch (error) {
    toast(error.message);
    return undefined;
  }
}
