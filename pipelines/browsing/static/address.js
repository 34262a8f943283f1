// The address names the open view, the open clip and the gallery's filters, as #faces/CLIP?gender=f&min_s=2.
export function here(hash = location.hash) {
  const [path, query = ""] = hash.slice(1).split("?"), [view, clip = ""] = path.split("/");
  return { view: view || "faces", clip, filters: Object.fromEntries(new URLSearchParams(query)) };
}

export function hashOf({ view, clip, filters }) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value !== ""));
  return `#${view}${clip && `/${clip}`}${query.size ? `?${query}` : ""}`;
}

export const openClip = (clip) => { location.hash = hashOf({ ...here(), clip }); };
export const closeClip = () => openClip("");
export const showFilters = (filters) => history.replaceState(null, "", hashOf({ ...here(), filters }));
