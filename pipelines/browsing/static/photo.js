// Drop a photo: which voices of the store suit it, who looks like it, and, with speakers, a new voice for it.
import { sendPhoto, speak } from "./api.js";
import { h, trying } from "./dom.js";
import { scoreOf, tile } from "./tile.js";

export function photo(view, about) {
  const file = h("input", { type: "file", accept: "image/*", onchange: () => file.files[0] && take(file.files[0]) });
  const words = h("div", {}, h("b", {}, "Drop a photo here"), h("p", { className: "faint" }, "or click to choose one. It stays on this machine."));
  const drop = h("label", { className: "drop",
    ondragover: (e) => { e.preventDefault(); drop.classList.add("over"); },
    ondragleave: () => drop.classList.remove("over"),
    ondrop: (e) => { e.preventDefault(); drop.classList.remove("over"); if (e.dataTransfer.files[0]) take(e.dataTransfer.files[0]); },
  }, words, file);
  const left = h("div", {}, drop), right = h("div", {}, about.model
    ? h("p", { className: "faint" }, "You will hear the store's voices that suit the face best, and see who looks like it.")
    : h("p", { className: "faint" }, "Start vclip browse with --model to hear which voices suit a face; without it you see who looks alike."));
  view.replaceChildren(h("div", { className: "photo" }, left, right));

  async function take(picture) {
    const image = h("img", { src: URL.createObjectURL(picture), alt: "Your photo" });
    words.replaceChildren(image, h("p", { className: "faint" }, "looking …"));
    right.replaceChildren();
    const found = await trying(() => sendPhoto(picture));
    words.replaceChildren(image, h("p", { className: "faint" }, found ? "another photo?" : "no face was found; another photo?"));
    if (!found) return;
    const tiles = ({ hits }) => h("div", { className: "tiles" }, hits.map((hit) => tile(hit, scoreOf(hit))));
    const calibrated = found.voices?.hits[0]?.probability !== null;
    right.replaceChildren(...[
      found.voices && h("h2", {}, "Voices that suit this face"),
      found.voices && h("p", { className: "faint" }, `The figure is ${calibrated ? "the probability that face and voice are of one person, where a match is as likely as not beforehand" : "the cosine under the model"}. A voice that suits a face is not that person's voice.`),
      found.voices && tiles(found.voices),
      h("h2", {}, "Faces like this one"), tiles(found.faces)].filter(Boolean));
    left.replaceChildren(...[drop, about.speaks && speaking(picture)].filter(Boolean));
  }
}

function speaking(picture) {
  const text = h("input", { value: "Hello, this is how I imagine your voice.", maxLength: 300, required: true });
  const heard = h("div"), button = h("button", { className: "first" }, "Speak in a new voice");
  return h("form", { className: "speak card", onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    const wav = await trying(() => speak(picture, text.value));
    button.disabled = false;
    if (wav) heard.replaceChildren(h("audio", { controls: true, autoplay: true, src: URL.createObjectURL(wav) }),
      h("p", { className: "faint" }, "Synthetic speech. The voice was made to suit the face; it is nobody's own voice."));
  } }, h("label", {}, "text", text), button, heard);
}
