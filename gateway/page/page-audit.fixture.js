// Runs within the page: what a person who cannot see it, or not well, or has a small screen would stumble over.
// The value of this script is a list of complaints.

(() => {
  const flaws = [];
  const name = (element) => {
    const { tagName, id, className } = element;
    const kind =
      typeof className === "string" && className ? `.${className.trim().split(/\s+/).join(".")}` : "";
    return `${tagName.toLowerCase()}${id ? `#${id}` : kind} “${(element.textContent ?? "").trim().slice(0, 30)}”`;
  };
  const all = [...document.body.querySelectorAll("*")];
  const isShown = (element) =>
    element.checkVisibility({
      opacityProperty: true,
      visibilityProperty: true,
      contentVisibilityAuto: true,
    }) && !element.closest("[inert], .unseen, .skip, [hidden]");
  const shown = all.filter(isShown);

  named();
  structured();
  fitting();
  legible();
  return flaws;

  function named() {
    for (const element of shown.filter((e) => e.matches("button, a, input, textarea, summary, [role=img]"))) {
      const label =
        element.ariaLabel || element.labels?.[0]?.textContent || element.textContent || element.title;
      if (!label?.trim()) flaws.push(`no name: ${name(element)}`);
      const { width, height } = element.getBoundingClientRect();
      const small = element.matches("button, input, textarea, summary") && (width < 24 || height < 24);
      if (small && !element.matches("[type=radio]"))
        flaws.push(`too small to hit: ${name(element)} ${width}×${height}`);
    }
    for (const image of all.filter((e) => e.matches("img:not([alt])"))) flaws.push(`no alt: ${image.src}`);
    for (const element of all.filter((e) => e.matches("[aria-labelledby], [aria-describedby]")))
      for (const id of `${element.getAttribute("aria-labelledby") ?? ""} ${element.getAttribute("aria-describedby") ?? ""}`.match(
        /\S+/g,
      ))
        if (!document.getElementById(id)) flaws.push(`refers to nothing: ${name(element)} → ${id}`);
  }

  function structured() {
    const ids = all.map((e) => e.id).filter(Boolean);
    for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i)))
      flaws.push(`two have the id ${id}`);
    if (document.querySelectorAll("main").length !== 1) flaws.push("not one main");
    if (document.querySelectorAll("h1").length !== 1) flaws.push("not one h1");
    if (!document.documentElement.lang || !document.title) flaws.push("no language or title");
    let level = 0;
    // What a model writes has the levels that it has.
    for (const heading of all.filter((e) => /^H[1-6]$/.test(e.tagName) && !e.closest(".prose"))) {
      const next = Number(heading.tagName[1]);
      if (next > level + 1) flaws.push(`h${level} is followed by h${next}: ${name(heading)}`);
      level = next;
    }
  }

  function fitting() {
    const { scrollWidth } = document.documentElement;
    if (scrollWidth > innerWidth) flaws.push(`the page is ${scrollWidth} wide, the screen ${innerWidth}`);
    for (const element of shown) {
      const { left, right, width } = element.getBoundingClientRect();
      if (width === 0 || (left >= -1 && right <= innerWidth + 1) || isWithinScroller(element)) continue;
      flaws.push(`leaves the screen: ${name(element)} ${Math.round(left)}…${Math.round(right)}`);
    }
  }

  function isWithinScroller(element) {
    for (let at = element.parentElement; at; at = at.parentElement)
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(at).overflowX) && at !== document.body)
        return true;
    return false;
  }

  function legible() {
    for (const element of shown) {
      const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
      if (!hasText || element.matches(":disabled, :disabled *") || element.closest("svg")) continue;
      const { color, fontSize, fontWeight } = getComputedStyle(element);
      const ground = groundOf(element);
      const [r, g, b, alpha] = parse(color);
      const ratio = contrast(over([r, g, b, alpha * opacityOf(element)], ground), ground);
      const size = parseFloat(fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5)) flaws.push(`contrast ${ratio.toFixed(2)}: ${name(element)}`);
    }
  }

  function opacityOf(element) {
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    return opacity;
  }

  function groundOf(element) {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const layer = parse(getComputedStyle(at).backgroundColor);
      layers.unshift(layer);
      if (layer[3] === 1) break;
    }
    return layers.reduce((ground, layer) => over(layer, ground), [255, 255, 255, 1]);
  }

  function parse(color) {
    const numbers = color.match(/-?[\d.]+(e-?\d+)?/g).map(Number);
    const [r, g, b, alpha = 1] = numbers;
    return color.startsWith("color(srgb") ? [r * 255, g * 255, b * 255, alpha] : [r, g, b, alpha];
  }

  function over([r, g, b, alpha], [R, G, B]) {
    const mix = (top, bottom) => top * alpha + bottom * (1 - alpha);
    return [mix(r, R), mix(g, G), mix(b, B), 1];
  }

  function contrast(a, b) {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  }

  function luminance([r, g, b]) {
    const linear = [r, g, b].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }
})();
