// Plays one voice at a time; every button of that voice shows the position.
import { addressOf } from "./api.js";
import { h, toast } from "./dom.js";

const audio = new Audio();
let playing = null;

const shown = () => document.querySelectorAll("[data-voice]");

function update() {
  const done = audio.duration ? audio.currentTime / audio.duration : 0;
  for (const element of shown()) {
    const own = element.dataset.voice === playing;
    if (element.classList.contains("play")) {
      element.setAttribute("aria-pressed", own && !audio.paused);
      element.style.setProperty("--done", own ? done : 0);
    } else element.style.width = `${own ? 100 * done : 0}%`;
  }
}

function stop() {
  playing = null;
  update();
}

for (const event of ["play", "pause", "timeupdate"]) audio.addEventListener(event, update);
audio.addEventListener("ended", stop);
audio.addEventListener("error", () => { if (playing) { toast("This audio cannot be played."); stop(); } });

export function toggle(voice) {
  if (playing === voice && !audio.paused) return audio.pause();
  if (playing !== voice) {
    playing = voice;
    audio.src = addressOf(`/media/voices/${encodeURIComponent(voice)}`);
  }
  return audio.play().catch(() => {}); // the error event shows a message; being replaced by a newer play() is no error
}

export const playButton = (voice, name) =>
  h("button", { className: "play", "data-voice": voice, "aria-pressed": "false", title: "Play the voice",
    "aria-label": `Play the voice of ${name}`, onclick: () => toggle(voice) });
