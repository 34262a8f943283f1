// The map: points on a canvas; drag to move, turn the wheel or spread two fingers to zoom, draw around points with the
// lasso to select their clips. The point under the pointer shows its face.
import { openClip } from "./address.js";
import { ask } from "./api.js";
import { count, h, number, percent, trying } from "./dom.js";
import { isSelected, select, selected, toggle, watch } from "./selection.js";
import { faceOf } from "./tile.js";
import { wordsOf } from "./words.js";

const COLOURS = ["#3b7dae", "#e0a53c", "#45a598", "#cf6a55", "#8d74b8", "#b5739a", "#6f9a3e"]; // as pipelines/html/page.py
const OTHER = "#8a97a5";
const SCALE = [[59, 50, 120], [49, 130, 160], [110, 190, 120], [245, 205, 70]];
const TOOLS = { move: "Drag to move the map, with two fingers or the wheel to zoom", lasso: "Draw around points to select their clips; with Shift, add them. Holding Shift lends the lasso." };
let chosen = null, zoom = 1, dx = 0, dy = 0; // kept while other views are open, and when a correction draws the map anew

export async function map(view, about) {
  chosen ??= { table: "faces", colour: about.values.gender ? "gender" : "quality", tool: "move" };
  const canvas = h("canvas", { "aria-label": "Map" }), peek = h("div", { className: "peek", hidden: true });
  const summary = h("p", { className: "faint" }), legend = h("div", { className: "legend" });
  const box = h("div", { className: "map card" }, canvas, peek);
  const select = (name, values) => h("label", {}, name === "table" ? "points" : "colour",
    h("select", { name, onchange: (e) => {
      chosen[name] = e.target.value;
      if (name === "table") [zoom, dx, dy] = [1, 0, 0];
      map(view, about);
    } },
      values.map((value) => h("option", { value, selected: chosen[name] === value }, wordsOf(value)))));
  const tools = ["move", "lasso"].map((tool) => h("button", { "aria-pressed": chosen.tool === tool, title: TOOLS[tool], onclick: (e) => {
    chosen.tool = tool;
    for (const button of tools) button.setAttribute("aria-pressed", button === e.currentTarget);
  } }, tool === "move" ? "Move" : "Lasso"));
  if (!about.colours[chosen.table].includes(chosen.colour)) chosen.colour = "identity";
  view.replaceChildren(h("div", { className: "bar" },
    select("table", Object.keys(about.colours)), select("colour", about.colours[chosen.table]),
    h("div", { className: "tools", role: "group", "aria-label": "Tool" }, tools), summary), box, legend);
  const found = await trying(() => ask(`map/${chosen.table}`, { colour: chosen.colour }));
  if (!found || !canvas.isConnected) return;
  const n = found.ids.length;
  summary.textContent = `${count(n)} ${chosen.table}${n < found.total ? `, a random sample of ${count(found.total)}` : ""}. ` +
    `The two principal components explain ${percent(found.explained)} of the variance.`;
  const { colours, entries } = coloured(found);
  legend.replaceChildren(...entries);
  plot(box, canvas, peek, found, colours);
}

function coloured(found) {
  const dot = (colour, text) => h("span", {}, h("i", { style: `background:${colour}` }), text);
  const unknown = found.values.filter((value) => value === (found.categories ? -2 : null)).length;
  const rest = unknown ? [dot("var(--unknown)", `unknown (${count(unknown)})`)] : [];
  if (found.categories) {
    const entries = found.categories.map(({ value, count: n }, i) => dot(COLOURS[i], `${value} (${count(n)})`));
    if (found.others) entries.push(dot(OTHER, `${count(found.others)} other ${found.others === 1 ? "value" : "values"}`));
    return { colours: found.values.map((v) => (v === -2 ? null : v === -1 ? OTHER : COLOURS[v])), entries: [...entries, ...rest] };
  }
  const known = found.values.filter((value) => value !== null).sort((a, b) => a - b);
  const low = known[Math.floor(known.length * 0.02)] ?? 0, high = known[Math.ceil(known.length * 0.98) - 1] ?? 1;
  const shade = (value) => {
    const at = Math.min(Math.max((value - low) / (high - low || 1), 0), 1) * (SCALE.length - 1), i = Math.min(Math.floor(at), 2);
    return `rgb(${SCALE[i].map((part, c) => Math.round(part + (at - i) * (SCALE[i + 1][c] - part)))})`;
  };
  const bar = h("span", { className: "scale", style: `background:linear-gradient(90deg,${SCALE.map((c) => `rgb(${c})`)})` });
  const entries = known.length ? [h("span", {}, number(low)), bar, h("span", {}, number(high))] : [];
  return { colours: found.values.map((value) => (value === null ? null : shade(value))), entries: [...entries, ...rest] };
}

function plot(box, canvas, peek, { xy, ids, clips }, colours) {
  const pen = canvas.getContext("2d"), n = ids.length;
  let at = -1, way = null, waiting = false;
  const size = () => ({ w: canvas.clientWidth, t: canvas.clientHeight });
  const place = (i) => {
    const { w, t } = size();
    return [w / 2 + dx + (zoom * xy[2 * i] * w) / 2.12, t / 2 + dy - (zoom * xy[2 * i + 1] * t) / 2.12];
  };
  const ring = (i, radius, width, colour) => {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(...place(i), radius, 0, 7);
    pen.stroke();
  };
  const draw = () => {
    waiting = false;
    const { w, t } = size(), ratio = devicePixelRatio || 1, style = getComputedStyle(canvas);
    canvas.width = w * ratio;
    canvas.height = t * ratio;
    pen.scale(ratio, ratio);
    const unknown = style.getPropertyValue("--unknown"), radius = Math.min(5, Math.max(1.6, 130 / Math.sqrt(n))) * Math.sqrt(Math.min(zoom, 3));
    const opaque = n > 4000 ? 0.65 : 0.85, any = selected().length > 0;
    for (const known of [false, true]) for (let i = 0; i < n; i += 1) {
      if (Boolean(colours[i]) !== known) continue;
      pen.globalAlpha = any && !isSelected(clips[i]) ? opaque / 3 : opaque;
      pen.fillStyle = colours[i] ?? unknown;
      pen.beginPath();
      pen.arc(...place(i), radius, 0, 7);
      pen.fill();
    }
    pen.globalAlpha = 1;
    if (any) for (let i = 0; i < n; i += 1) if (isSelected(clips[i])) ring(i, radius + 0.5, 1, style.color);
    if (at >= 0) ring(at, radius + 3, 2, style.color);
    if (way) {
      pen.strokeStyle = style.color;
      pen.lineWidth = 1.5;
      pen.setLineDash([5, 4]);
      pen.beginPath();
      for (const point of way) pen.lineTo(...point);
      pen.closePath();
      pen.stroke();
    }
  };
  const later = () => { if (!waiting) requestAnimationFrame(draw); waiting = true; };
  const within = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const nearest = (event) => {
    const [px, py] = within(event);
    let best = -1, least = 14 ** 2;
    for (let i = 0; i < n; i += 1) {
      const [x, y] = place(i), far = (x - px) ** 2 + (y - py) ** 2;
      if (far < least) [best, least] = [i, far];
    }
    return best;
  };
  const show = (i) => {
    if (i === at) return;
    at = i;
    peek.hidden = i < 0;
    later();
    if (i < 0) return;
    const [x, y] = place(i), { w, t } = size();
    peek.style.left = `${Math.min(x + 12, w - 116)}px`;
    peek.style.top = `${Math.min(y + 12, t - 130)}px`;
    if (chosen.table === "faces") peek.replaceChildren(h("img", { src: faceOf(ids[i]), alt: "" }));
    else ask(`clips/${encodeURIComponent(clips[i])}`).then(({ card }) => {
      if (at === i && card.face_id) peek.replaceChildren(h("img", { src: faceOf(card.face_id), alt: "" }), card.identity ?? "");
    }, () => {});
  };
  const zoomBy = (by, x, y) => { // the point at x, y, from the middle of the map, stays where it is
    const next = Math.min(Math.max(zoom * by, 1), 60);
    [dx, dy] = [x - ((x - dx) * next) / zoom, y - ((y - dy) * next) / zoom];
    zoom = next;
    if (zoom === 1) [dx, dy] = [0, 0];
    later();
  };
  const fingers = new Map(); // pointer id -> where it is; two of them move and zoom the map, whatever the tool
  const pinch = () => {
    const [[ax, ay], [bx, by]] = fingers.values(), { w, t } = size();
    return { x: (ax + bx - w) / 2, y: (ay + by - t) / 2, apart: Math.hypot(ax - bx, ay - by) || 1 };
  };
  let held = null, moved = false;
  const adds = (event) => event.shiftKey || event.ctrlKey || event.metaKey;
  canvas.addEventListener("pointerdown", (e) => {
    if (e.button || fingers.size === 2) return;
    fingers.set(e.pointerId, within(e));
    canvas.setPointerCapture(e.pointerId);
    moved = false;
    held = fingers.size === 1 ? [e.clientX - dx, e.clientY - dy] : null; // a second finger ends what the first began
    way = held && (chosen.tool === "lasso" || e.shiftKey) ? [within(e)] : null;
    if (!held) show(-1);
    later();
  });
  canvas.addEventListener("pointermove", (e) => {
    if (fingers.size === 2 && fingers.has(e.pointerId)) {
      const before = pinch();
      fingers.set(e.pointerId, within(e));
      const { x, y, apart } = pinch();
      [dx, dy] = [dx + x - before.x, dy + y - before.y];
      return zoomBy(apart / before.apart, x, y);
    }
    if (!held) return show(nearest(e));
    const [x, y] = [e.clientX - held[0], e.clientY - held[1]];
    moved ||= Math.hypot(x - dx, y - dy) > 3;
    if (!moved) return;
    if (way) way.push(within(e));
    else [dx, dy] = [x, y];
    show(-1);
    later();
  });
  canvas.addEventListener("pointerup", (e) => {
    fingers.delete(e.pointerId);
    if (!held) return; // pressed elsewhere, or another button
    const around = way, i = moved ? -1 : nearest(e);
    held = way = null;
    if (around && moved) select(clips.filter((_, k) => inside(around, ...place(k))), { add: adds(e) });
    else if (i >= 0 && adds(e)) toggle([clips[i]]);
    else if (i >= 0) openClip(clips[i]);
    later();
  });
  canvas.addEventListener("pointercancel", (e) => {
    fingers.delete(e.pointerId);
    held = way = null;
    later();
  });
  canvas.addEventListener("pointerleave", () => show(-1));
  canvas.addEventListener("wheel", (e) => {
    e.preventDefault();
    const [x, y] = within(e), { w, t } = size();
    zoomBy(Math.exp(-e.deltaY / 400), x - w / 2, y - t / 2);
  }, { passive: false });
  watch(canvas, later);
  new ResizeObserver(draw).observe(box);
}

// Whether a point lies inside a closed way, by the crossings of a ray to the right of it.
function inside(way, x, y) {
  let within = false;
  for (let i = 0, j = way.length - 1; i < way.length; j = i, i += 1) {
    const [[ax, ay], [bx, by]] = [way[i], way[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  }
  return within;
}
