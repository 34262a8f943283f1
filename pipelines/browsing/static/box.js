// Selects tiles: a box that is drawn around them with the mouse, and clicks with Ctrl or Shift.
import { h } from "./dom.js";
import { mark, select, selected, toggle } from "./selection.js";

const LEAST_PX = 8; // a shorter way is a click
const EDGE_PX = 60; // from the window's edge, where the page scrolls

export function boxes(grid) {
  let from = null, box = null, before = [], anchor = null, pointer = null;
  const tiles = () => [...grid.querySelectorAll(".tile")];
  const clipOf = (tile) => tile.dataset.clip;

  function draw() {
    const { left, top } = grid.getBoundingClientRect(), [x, y] = [pointer.clientX - left, pointer.clientY - top];
    const edges = [Math.min(x, from.x), Math.min(y, from.y), Math.max(x, from.x), Math.max(y, from.y)];
    Object.assign(box.style, { left: `${edges[0]}px`, top: `${edges[1]}px`, width: `${edges[2] - edges[0]}px`, height: `${edges[3] - edges[1]}px` });
    const inside = tiles().filter(({ offsetLeft: l, offsetTop: t, offsetWidth: w, offsetHeight: high }) =>
      l < edges[2] && l + w > edges[0] && t < edges[3] && t + high > edges[1]);
    select([...before, ...inside.map(clipOf)]);
  }

  function scroll() {
    if (!box) return;
    const by = pointer.clientY > innerHeight - EDGE_PX ? 12 : pointer.clientY < EDGE_PX ? -12 : 0;
    if (by) { scrollBy(0, by); draw(); }
    requestAnimationFrame(scroll);
  }

  grid.addEventListener("pointerdown", (event) => {
    if (event.button || event.pointerType !== "mouse" || event.target.closest(".play, .pick")) return;
    const { left, top } = grid.getBoundingClientRect();
    from = { x: event.clientX - left, y: event.clientY - top };
    before = event.shiftKey || event.ctrlKey || event.metaKey ? selected() : [];
  });
  grid.addEventListener("pointermove", (event) => {
    if (!from || !(event.buttons & 1)) return;
    pointer = event;
    const { left, top } = grid.getBoundingClientRect();
    if (!box) {
      if (Math.hypot(event.clientX - left - from.x, event.clientY - top - from.y) < LEAST_PX) return;
      box = h("div", { className: "box" });
      grid.append(box);
      grid.setPointerCapture(event.pointerId);
      requestAnimationFrame(scroll);
    }
    draw();
  });
  const end = () => {
    from = null;
    box?.remove();
    setTimeout(() => { box = null; }); // after the click that ends the box
  };
  grid.addEventListener("pointerup", end);
  grid.addEventListener("pointercancel", end);
  grid.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile"), many = event.shiftKey && anchor?.isConnected;
    const picks = event.target.closest(".pick") || event.ctrlKey || event.metaKey || event.shiftKey;
    if (box || (picks && tile && !event.target.closest(".play"))) {
      event.preventDefault();
      event.stopPropagation();
    } else return;
    if (box || !tile) return;
    if (many) {
      const all = tiles(), [a, b] = [all.indexOf(anchor), all.indexOf(tile)].sort((one, two) => one - two);
      toggle(all.slice(a, b + 1).map(clipOf), true);
    } else toggle([clipOf(tile)]);
    anchor = tile;
    mark([tile]);
  }, true);
}
