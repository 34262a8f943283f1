// The photo view: voices of the store that suit a face, similar faces, and, with speakers, a new voice for the face.
import { sendPhoto, speak } from "./api.js";
import { h, trying } from "./dom.js";
import { scoreOf, tile } from "./tile.js";

let latest = null; // kept while other views are open, and when a correction draws the view anew

export function photo(view, about) {
  const file = h("input", { type: "file", accept: "image/*", onchange: () => file.files[0] && take(file.files[0]) });
  const words = h("div", {}, h("b", {}, "Drop a photo here"), h("p", { className: "faint" }, "or click to choose one. Photos are not stored."));
  const drop = h("label", { className: "drop",
    ondragover: (e) => { e.preventDefault(); drop.classList.add("over"); },
    ondragleave: () => drop.classList.remove("over"),
    ondrop: (e) => { e.preventDefault(); drop.classList.remove("over"); if (e.dataTransfer.files[0]) take(e.dataTransfer.files[0]); },
  }, words, file);
  const left = h("div", {}, drop), right = h("div", {}, about.model
    ? h("p", { className: "faint" }, "Finds the voices of the store that suit the face best, and the most similar faces.")
    : h("p", { className: "faint" }, "Finds the most similar faces. Start vclip browse with --model to find voices that suit a face as well."));
  view.replaceChildren(h("div", { className: "photo" }, left, right));
  if (latest) take(latest);

  async function take(photo) {
    latest = photo;
    const image = h("img", { src: URL.createObjectURL(photo), alt: "Your photo" });
    words.replaceChildren(image, h("p", { className: "faint" }, "searching …"));
    left.replaceChildren(drop);
    right.replaceChildren();
    const found = await trying(() => sendPhoto(photo));
    if (photo !== latest || !drop.isConnected) return;
    words.replaceChildren(image, h("p", { className: "faint" }, found ? "Choose another photo." : "No result. Choose another photo."));
    if (!found) return;
    const tiles = ({ hits }) => h("div", { className: "tiles" }, hits.map((hit) => tile(hit, scoreOf(hit))));
    const calibrated = found.voices?.hits[0]?.probability !== null;
    right.replaceChildren(...[
      found.voices && h("h2", {}, "Voices that suit this face"),
      found.voices && h("p", { className: "faint" }, `The figure is ${calibrated ? "the probability that the face and the voice belong to one person, at a prior of 50%" : "the cosine under the model"}. A voice that suits a face is not that person's voice.`),
      found.voices && tiles(found.voices),
      h("h2", {}, "Faces like this one"), h("p", { className: "faint" }, "The figure is the cosine of the two faces."),
      tiles(found.faces)].filter(Boolean));
    left.replaceChildren(...[drop, about.speaks && speechForm(photo)].filter(Boolean));
  }
}

function speechForm(photo) {
  const text = h("textarea", { value: "Hello, this is how I imagine your voice.", maxLength: 300, required: true, rows: 3 });
  const output = h("div"), button = h("button", { className: "first" }, "Speak in a new voice");
  return h("form", { className: "speak card", onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    const wav = await trying(() => speak(photo, text.value));
    button.disabled = false;
    if (wav) output.replaceChildren(h("audio", { controls: true, autoplay: true, src: URL.createObjectURL(wav) }),
      h("p", { className: "faint" }, "Synthetic speech. The voice was generated to suit the face; it is not a real person's voice."));
  } }, h("label", {}, "text", text), button, output);
}
