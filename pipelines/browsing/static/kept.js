// What this browser keeps from one visit to the next; where it may keep nothing, until the page is closed.
const here = new Map();

export function kept(key) {
  try { return localStorage.getItem(key); } catch { return here.get(key) ?? null; }
}

export function keep(key, text) {
  try { localStorage.setItem(key, text); } catch { here.set(key, text); }
}
