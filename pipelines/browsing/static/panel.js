// The panel of one clip: faces, voices, labels, neighbours, and buttons to correct it.
import { closeClip } from "./address.js";
import { ask } from "./api.js";
import { askLabel, askMerge, askReject } from "./correcting.js";
import { byId, clock, fileOf, h, number, seconds, trying } from "./dom.js";
import { playButton } from "./player.js";
import { face, faceOf, nameOf, scoreOf, tile } from "./tile.js";

const panel = byId("panel");
const DONE = { reject: "Rejected", label: "Label corrected", merge: "Merged", undo: "Undone" };
let shown = null;

export function closePanel() {
  shown = null;
  panel.hidden = true;
  document.body.classList.remove("open");
}

export async function openPanel(clip, about) {
  shown = clip;
  const found = await trying(() => ask(`clips/${encodeURIComponent(clip)}`));
  if (shown !== clip) return;
  if (!found) { closeClip(); return; }
  panel.replaceChildren(...content(found, about));
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add("open");
}

export const shownClip = () => shown;

function content({ card, faces, voices, same_person, edits }, about) {
  const large = h("img", { src: card.face_id ? faceOf(card.face_id) : "/static/icon.svg", alt: `Face of ${nameOf(card)}` });
  const choices = faces.map(({ face_id, time_s, quality }) =>
    h("button", { title: `${clock(time_s)}, quality ${number(quality)}`, "aria-pressed": face_id === card.face_id,
      onclick: (event) => {
        large.src = faceOf(face_id);
        for (const other of event.currentTarget.parentNode.children) other.setAttribute("aria-pressed", "false");
        event.currentTarget.setAttribute("aria-pressed", "true");
      } }, face(face_id)));
  return [
    h("div", { className: "head" }, h("h1", { title: nameOf(card) }, nameOf(card)),
      h("button", { className: "close", onclick: closeClip, "aria-label": "Close" }, "×")),
    h("div", { className: "top" }, large, h("div", { className: "faint" },
      h("p", {}, fileOf(card.video_uri)), h("p", {}, `${clock(card.start_s)} to ${clock(card.end_s)}`))),
    faces.length > 1 && h("div", { className: "faces" }, choices),
    h("div", { className: "voices" }, voices.map((voice) => voiceLine(voice, card))),
    facts(card, faces, about),
    h("div", { className: "acts" },
      card.identity && h("button", { onclick: () => askMerge([card.clip_id]) }, "Merge person …"),
      h("button", { className: "bad", onclick: () => askReject([card.clip_id]) }, "Reject clip")),
    edits.length > 0 && h("p", { className: "faint" }, edits.map((e) => `${DONE[e.action]} by ${e.who}: ${e.why}`).join("; ")),
    same_person.length > 0 && section(`Other clips of ${nameOf(card)}`, strip(same_person.map((other) => tile(other)))),
    card.face_id && near("Faces like this one", "face", card.face_id, "faces"),
    card.face_id && about.model && near("Voices that suit this face", "face", card.face_id, "voices"),
    card.voice_id && near("Voices like this one", "voice", card.voice_id, "voices"),
    card.voice_id && about.model && near("Faces that suit this voice", "voice", card.voice_id, "faces"),
  ].filter(Boolean);
}

const section = (title, ...children) => h("section", {}, h("h2", {}, title), ...children);
const strip = (tiles) => h("div", { className: "strip" }, tiles);

function voiceLine({ voice_id, start_s, end_s, snr_db }, card) {
  const noise = snr_db === null ? "" : `, SNR ${number(snr_db)} dB`;
  return h("div", { className: "voice" }, playButton(voice_id, nameOf(card)),
    h("div", { className: "line" }, h("i", { "data-voice": voice_id })),
    h("span", { className: "faint number" }, `${seconds(end_s - start_s)}${noise}`));
}

function facts(card, faces, about) {
  const best = faces.find((row) => row.face_id === card.face_id);
  const rows = about.editable.map((name) => [name, card[name], () => askLabel([card.clip_id], name, card[name] ?? "")]);
  rows.push(["split", card.split], ["active speaker", `score ${number(card.speaking_score)}`]);
  if (best) rows.push(["face", `${number(best.size_px)} px, quality ${number(best.quality)}`]);
  rows.push(["clip", card.clip_id]);
  return section("Details", h("dl", { className: "facts" }, rows.map(([name, value, act]) => h("div", {},
    h("dt", {}, name), h("dd", {}, value ?? "–"),
    act && h("button", { className: "plain", onclick: act, "aria-label": `Correct ${name}` }, "correct")))));
}

function near(title, kind, id, find) {
  const place = h("div", { className: "faint" }, "…");
  ask(`neighbours/${kind}/${encodeURIComponent(id)}`, { find }).then(
    ({ hits }) => place.replaceWith(hits.length ? strip(hits.map((hit) => tile(hit, scoreOf(hit)))) : h("p", {}, "None.")),
    (error) => { place.textContent = error.message; });
  return section(title, place);
}
