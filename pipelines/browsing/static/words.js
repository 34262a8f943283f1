// Columns in words.
const WORDS = { snr_db: "signal to noise, dB", size_px: "face size, px", video_id: "video", speaking_score: "active speaker score",
  quality: "face quality", sharpness: "face sharpness", frontality: "face frontality", exposure: "face exposure" };
const UNITS = { s: "s", ms: "ms", px: "px", db: "dB", hz: "Hz", deg: "degrees" };

// Columns that have no words of their own are spelt by their parts: offset_ms as "offset, ms".
export function wordsOf(column) {
  const parts = column.split("_"), unit = UNITS[parts.at(-1)];
  return WORDS[column] ?? (unit && parts.length > 1 ? `${parts.slice(0, -1).join(" ")}, ${unit}` : parts.join(" "));
}
