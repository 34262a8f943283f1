// Requests to the server; a refusal is thrown as an error with the server's message.
import { meta } from "./dom.js";

async function answer(response) {
  if (response.ok) return response.json();
  const refusal = await response.json().catch(() => ({}));
  throw new Error(refusal.error ?? `the server answered ${response.status}`);
}

const token = { "X-Vclip-Token": meta("token") };

// The address of an image, of audio or of a frame: those send no headers, so the token is in the address.
export const addressOf = (path) => `${path}?${new URLSearchParams({ token: meta("token") })}`;

const request = (path, options) => fetch(path, options).catch(() => {
  throw new Error("vclip browse does not answer. If it has ended, start it again and reload this page.");
});

export function ask(path, query = {}) {
  const filled = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return request(`/api/${path}?${new URLSearchParams(filled)}`, { headers: token }).then(answer);
}

const send = (path, body) =>
  request(`/api/${path}`, { method: "POST", headers: { ...token, "Content-Type": "application/json" }, body: JSON.stringify(body) })
    .then(answer);

export const edit = (body) => send("edits", body);
export const sendSelection = (clips) => send("selection", { clips }); // answers who is in it

export const sendPhoto = (file) => request("/api/photo", { method: "POST", headers: token, body: file }).then(answer);

export async function speak(file, text) {
  const response = await request(`/api/speak?${new URLSearchParams({ text })}`, { method: "POST", headers: token, body: file });
  return response.ok ? response.blob() : answer(response);
}
