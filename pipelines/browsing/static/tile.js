// The tile of a clip: its face to open, its voice to play, and a mark to select it.
import { openClip } from "./address.js";
import { addressOf } from "./api.js";
import { h, percent, seconds } from "./dom.js";
import { playButton } from "./player.js";

export const nameOf = (card) => card.identity ?? "unknown";
export const faceOf = (id) => addressOf(`/media/faces/${encodeURIComponent(id)}`);

export function face(id, alt = "") {
  if (!id) return h("span", { className: "none" }, "no image");
  const image = h("img", { src: faceOf(id), alt, draggable: false, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(h("span", { className: "none" }, "no image")));
  return image;
}

export function tile(card, score) {
  const name = nameOf(card);
  const known = ["gender", "language", "nationality"].map((label) => card[label]).filter(Boolean);
  return h("article", { className: "tile", "data-clip": card.clip_id },
    h("button", { className: "face", onclick: () => openClip(card.clip_id), "aria-label": `Open the clip of ${name}` },
      face(card.face_id)),
    h("button", { className: "pick", role: "checkbox", "aria-checked": false, "aria-label": `Select the clip of ${name}`, title: "Select" }),
    score && h("span", { className: "score" }, score),
    h("div", { className: "about" },
      h("div", { className: `name${card.identity ? "" : " unknown"}`, title: name }, name),
      h("div", { className: "small" }, [...known, seconds(card.end_s - card.start_s)].join(" · "))),
    card.voice_id && playButton(card.voice_id, name));
}

// The figure on a neighbour's tile: a probability if the model is calibrated, else a cosine.
export const scoreOf = (hit) =>
  hit.probability === null ? hit.cosine.toFixed(3) : percent(hit.probability);
