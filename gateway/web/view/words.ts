// Numbers and times as people read them. Pure.

export function seconds(ms: number): string {
  if (ms < 950) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_500) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** MiB as GiB, or as MiB where that says more. */
export function memory(mib: number): string {
  return mib < 1000 ? `${Math.round(mib)} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
}

/** Two or three digits that mean something. */
export function number(value: number): string {
  if (value >= 100) return String(Math.round(value));
  if (value < 1) return String(Number(value.toPrecision(2)));
  return String(Number(value.toFixed(value >= 10 ? 1 : 2)));
}

export function tokens(count: number): string {
  return `${count} ${count === 1 ? "token" : "tokens"}`;
}

/** 4096 → "4k", as models' context lengths are called. */
export function context(length: number): string {
  return length < 1024 ? String(length) : `${Math.round(length / 1024)}k`;
}

export function duration(secs: number): string {
  if (secs < 60) return `${Math.floor(secs)} s`;
  if (secs < 3600) return `${Math.floor(secs / 60)} min`;
  if (secs < 86_400) return `${Math.floor(secs / 3600)} h ${Math.floor((secs % 3600) / 60)} min`;
  return `${Math.floor(secs / 86_400)} d ${Math.floor((secs % 86_400) / 3600)} h`;
}

/** The heading that a conversation stands under. */
export function age(at: number, now: number): string {
  const today = new Date(now).setHours(0, 0, 0, 0);
  const day = 86_400_000;
  if (at >= today) return "Today";
  if (at >= today - day) return "Yesterday";
  return at >= today - 7 * day ? "Last seven days" : "Older";
}
