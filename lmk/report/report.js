// The report's own script: draws the charts, and runs the gallery.  Everything that it shows comes from the page's two
// JSON blocks and is put there as text, so that no name can become markup.
"use strict";
(() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  // One at a time, so that the page can be read and used in between.
  const drawCharts = async () => {
    const options = {actions: false, ast: true, renderer: "svg", tooltip: {theme: "custom"}};
    for (const [name, spec] of Object.entries(read("charts"))) {
      await new Promise(done => setTimeout(done));
      await vegaEmbed(`#chart-${name}`, spec, options);
    }
    document.documentElement.dataset.charts = "drawn";
  };
  const data = read("gallery");
  const cards = document.getElementById("cards");
  if (!cards) return void drawCharts();
  const GONE = -32768, PAGE = 24, K = data.names.length, I = data.iterations.length, E = data.evidence.length;
  const column = Object.fromEntries(data.evidence.map(([name], place) => [name, place]));
  const SVG = "http://www.w3.org/2000/svg";

  const bytes = text => {
    const letters = atob(text), found = new Uint8Array(letters.length);
    for (let place = 0; place < letters.length; place++) found[place] = letters.charCodeAt(place);
    return found;
  };
  const points = item => item.p ??= new Int16Array(bytes(item.points).buffer);
  const at = (item, i, k) => {
    const p = points(item), place = 2 * (i * K + k);
    return p[place] === GONE ? null : [p[place] / 16, p[place + 1] / 16];
  };
  const evidence = (item, i, k, name) => {
    item.e ??= bytes(item.evidence);
    const code = item.e[(i * K + k) * E + column[name]], full = data.evidence[column[name]][1];
    if (code === 0) return null;
    return full ? (code - 1) * full / 254 : 1e-4 * 2 ** ((code - 1) / 12);
  };
  const minus = (a, b) => [a[0] - b[0], a[1] - b[1]];
  const length = v => Math.hypot(v[0], v[1]);
  const moved = (item, i, k) => {  // pixels of the image
    const a = at(item, 0, k), b = at(item, i, k);
    return a && b ? length(minus(b, a)) / item.scale : null;
  };
  const tangent = (item, k) => {
    const [before, after] = data.neighbours[k];
    if (before < 0) return null;
    const a = at(item, 0, before), b = at(item, 0, after);
    if (!a || !b) return null;
    const way = minus(b, a), size = length(way);
    return size > 0 ? [way[0] / size, way[1] / size] : null;
  };
  const scores = {
    moved: (item, k) => moved(item, I - 1, k) / item.box,
    suspicion: (item, k) => evidence(item, I - 1, k, "suspicion"),
    error: (item, k) => (evidence(item, I - 1, k, "error_after") ?? 0) / item.scale / item.box,
    name: () => 0,
  };

  // ---- which instances, in which order -------------------------------------------------------------------------------
  const control = name => document.getElementById(`by-${name}`);
  const fill = (name, values) => {
    for (const [value, title] of values) control(name).append(new Option(title, value));
    control(name).closest("label").hidden = values.length < 2;
  };
  const known = key => [...new Set(data.items.map(item => item[key]).filter(Boolean))].sort();
  fill("landmark", data.names.map((name, k) => [k, name]));
  for (const key of ["split", "annotator", "source"]) fill(key, known(key).map(value => [value, value]));
  fill("gate", data.gates.map(name => [name, name]));
  control("gate").closest("label").hidden = data.gates.length === 0;
  let chosen = [], shown = 0;

  const candidates = item => {
    const landmark = control("landmark").value, gate = control("gate").value;
    const all = landmark === "" ? data.names.map((_, k) => k) : [Number(landmark)];
    return all.filter(k => at(item, I - 1, k) && at(item, 0, k) && (gate === "" || item.gates[gate].includes(k)));
  };
  const choose = () => {
    const order = control("order").value, least = Number(control("least").value) / 100;
    document.getElementById("least-said").textContent = `${control("least").value} %`;
    const suspected = Number(control("suspected").value);
    document.getElementById("suspected-said").textContent = suspected.toFixed(2);
    chosen = [];
    data.items.forEach((item, number) => {
      for (const key of ["split", "annotator", "source"]) {
        if (control(key).value !== "" && item[key] !== control(key).value) return;
      }
      const score = order === "name" ? scores.moved : scores[order];
      let best = null, most = -1;
      for (const k of candidates(item)) {
        if (least > 0 && scores.moved(item, k) < least) continue;
        if (suspected > 0 && (scores.suspicion(item, k) ?? 0) < suspected) continue;
        const value = score(item, k) ?? 0;
        if (value > most) [best, most] = [k, value];
      }
      if (best !== null) chosen.push({item, number, k: best, score: most});
    });
    if (order === "name") chosen.sort((a, b) => a.item.image < b.item.image ? -1 : a.item.image > b.item.image ? 1 : 0);
    else chosen.sort((a, b) => b.score - a.score || a.number - b.number);
    cards.replaceChildren();
    shown = 0;
    more();
  };
  const more = () => {
    const next = chosen.slice(shown, shown + PAGE);
    cards.append(...next.map(card));
    shown += next.length;
    document.getElementById("count").textContent =
      chosen.length ? `${shown} of ${chosen.length} shown` : "no instance meets all of these";
    document.getElementById("more").hidden = shown === chosen.length;
  };

  // ---- one card -----------------------------------------------------------------------------------------------------
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in node && typeof value !== "string") node[name] = value; else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };
  const draw = (tag, attributes) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const card = ({item, k}) => {
    const state = {k, i: I - 1, near: false};
    const picture = draw("svg", {role: "img"});
    const title = make("b"), said = make("p", {class: "said"}), name = make("output");
    const slider = make("input", {type: "range", min: "0", max: String(I - 1), step: "1", "aria-label": "iteration"});
    slider.value = String(state.i);
    const point = make("select", {"aria-label": "landmark"});
    data.names.forEach((text, number) => { if (at(item, 0, number)) point.append(new Option(text, number)); });
    point.value = String(k);
    const zoom = make("button", {type: "button", "aria-pressed": "false"}, "closer");
    const show = () => {
      paint(picture, item, state);
      name.textContent = data.iterations[state.i];
      title.textContent = data.names[state.k];
      said.textContent = words(item, state.i, state.k);
      zoom.setAttribute("aria-pressed", String(state.near));
    };
    slider.addEventListener("input", () => { state.i = Number(slider.value); show(); });
    point.addEventListener("change", () => { state.k = Number(point.value); show(); });
    zoom.addEventListener("click", () => { state.near = !state.near; show(); });
    picture.addEventListener("click", event => {
      const nearest = event.target.dataset?.k;
      if (nearest !== undefined) { state.k = Number(nearest); point.value = nearest; show(); }
    });
    show();
    const which = [item.image, item.instance ? `instance ${item.instance}` : "", item.split, item.annotator, item.source];
    return make(
      "figure", {class: "item"}, picture,
      make("div", {class: "handle"}, name, slider, zoom),
      make("figcaption", {}, make("div", {class: "handle"}, point), said,
        make("p", {class: "note"}, which.filter(Boolean).join(", "))),
    );
  };

  const paint = (picture, item, {k, i, near}) => {
    const human = at(item, 0, k), now = at(item, i, k) ?? human, S = data.side;
    const side = near ? S / 4 : S, middle = [(human[0] + now[0]) / 2, (human[1] + now[1]) / 2];
    const corner = near ? [middle[0] - side / 2, middle[1] - side / 2] : [0, 0], unit = side / S;
    picture.setAttribute("viewBox", `${corner[0]} ${corner[1]} ${side} ${side}`);
    picture.setAttribute("aria-label", `${data.names[k]} in ${item.image}, ${data.iterations[i]}`);
    const parts = [draw("image", {href: item.src, width: S, height: S})];
    for (const [way, style] of [[0, "human"], [i, "refined"]]) {
      for (const contour of data.contours) {
        const line = contour.map(n => at(item, way, n)).filter(Boolean).map(p => p.join(",")).join(" ");
        parts.push(draw("polyline", {class: `outline ${style}`, points: line, "stroke-width": 0.8 * unit}));
      }
    }
    const spread = evidence(item, i, k, "spread");
    if (spread) parts.push(draw("ellipse", {class: "spread", cx: now[0], cy: now[1], rx: spread, ry: spread, "stroke-width": unit}));
    for (let n = 0; n < K; n++) {
      const p = at(item, i, n);
      if (p) parts.push(draw("circle", {class: "dot refined", cx: p[0], cy: p[1], r: 2 * unit, "data-k": n}));
    }
    parts.push(draw("line", {class: "way", x1: human[0], y1: human[1], x2: now[0], y2: now[1], "stroke-width": 1.4 * unit}));
    parts.push(draw("circle", {class: "mark human", cx: human[0], cy: human[1], r: 5 * unit, "stroke-width": 1.6 * unit}));
    parts.push(draw("circle", {class: "mark refined", cx: now[0], cy: now[1], r: 4 * unit, "stroke-width": 1.6 * unit}));
    picture.replaceChildren(...parts);
  };

  const number = (value, digits = 2) => value.toFixed(digits);
  const words = (item, i, k) => {
    if (i === 0) return "the human label";
    const size = moved(item, i, k);
    if (size === null) return "no point here";
    const way = tangent(item, k), a = at(item, 0, k), b = at(item, i, k);
    let text = `moved ${number(size, 1)} px (${number(100 * size / item.box, 1)} % of the box)`;
    if (size < 1 / 32) text = "did not move";
    else if (way) {
      const shift = minus(b, a).map(part => part / item.scale);
      const along = Math.abs(shift[0] * way[0] + shift[1] * way[1]);
      const across = Math.abs(shift[1] * way[0] - shift[0] * way[1]);
      text += `: ${number(along, 1)} along its contour, ${number(across, 1)} across`;
    }
    const know = name => evidence(item, i, k, name), parts = [];
    if (know("peak") !== null) {
      parts.push(`the heatmap peaks there with ${number(know("peak"))}` +
        (know("spread") !== null ? `, spread ${number(know("spread") / item.scale, 1)} px` : ""));
    }
    if (know("chi2") !== null && know("chi2_observed") !== null) {
      parts.push(`chi² ${know("chi2_observed").toPrecision(2)} → ${know("chi2").toPrecision(2)}`);
    }
    if (know("prior_cost") !== null) parts.push(`prior cost ${know("prior_cost").toPrecision(2)}`);
    if (know("at_edge") > 0.5) parts.push("stopped at the edge of its window");
    const [was, is] = ["error_before", "error_after"].map((name) => know(name));
    if (is !== null) parts.push(`expected error ${number(is / item.scale, 1)} px, of the human point ${number(was / item.scale, 1)} px`);
    if (know("suspicion") !== null && know("suspicion") >= 0.05) {
      const reason = data.reasons[Math.round(know("reason") ?? 0)];
      parts.push(`a gross error with probability ${number(know("suspicion"))}${reason ? ` (${reason})` : ""}`);
    }
    return [...(item.decided[k] ? [item.decided[k]] : []), text, ...parts].join("; ");
  };

  for (const node of document.querySelectorAll("#filters select, #filters input")) {
    node.addEventListener(node.type === "range" ? "input" : "change", choose);
  }
  document.getElementById("all").addEventListener("click", () => {
    document.getElementById("filters").reset();
    choose();
  });
  document.getElementById("filters").addEventListener("submit", event => event.preventDefault());
  document.getElementById("more").addEventListener("click", () => {
    const before = cards.children.length;
    more();
    cards.children[before]?.querySelector("input, select, button")?.focus();
  });
  choose();
  drawCharts();
})();
