"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const runs = data.runs;
  const charts = document.getElementById("charts");
  const details = document.getElementById("details");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // The colours of Okabe and Ito, and lighter ones of the same hues on dark paper.
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const palettes = {
    light: ["#0072b2", "#d55e00", "#009e73", "#b0508a", "#5a8f00", "#785e00", "#5b5bd6"],
    dark: ["#56b4e9", "#ff8c42", "#3fd6a4", "#e29ac6", "#a6d34f", "#e0c04f", "#a5a5ff"],
  };
  const dashes = [[], [7, 3], [2, 3], [10, 3, 2, 3]];
  const edgeDashes = [[6, 4], [2, 3], [10, 3, 2, 3], [10, 3, 2, 3, 2, 3]];
  const plots = [];

  // One curve: the values of a quantity of a task of a run. Some are measured at steps of their own.
  const curve = (label, task, { field }, style = {}) => ({ label, x: task.steps[field] ?? task.step, y: task.columns[field] ?? [], style });
  const withName = (label, run) => (runs.length > 1 ? `${run.name}: ${label}` : label);
  const each = (curves) => runs.flatMap((run) => run.tasks.flatMap((task) => curves(run, task)));
  const isTrain = (task) => task.name === "train";

  // On the steps of all curves, a curve has null where it gave no number and undefined where only others were
  // measured. A line passes over undefined: where it would pass a null on its way, there is a gap all the way.
  function widenGaps(values) {
    let from = 0;
    let isGap = false;
    values.forEach((value, index) => {
      if (value === null) isGap = true;
      if (value === null || value === undefined) return;
      if (isGap) values.fill(null, from, index);
      from = index + 1;
      isGap = false;
    });
  }

  // The points that no line shows, since both neighbours are gaps.
  function alone(plot, index, isShown) {
    if (isShown) return null;
    const values = plot.data[index];
    const own = values.map((_, place) => place).filter((place) => values[place] !== undefined);
    const isGap = (place) => place === undefined || values[place] === null;
    return own.filter((place, i) => !isGap(place) && isGap(own[i - 1]) && isGap(own[i + 1]));
  }

  function show(title, curves, { log = false } = {}) {
    curves = curves.filter((c) => c.y.some((value) => value !== null));
    if (curves.length === 0) return;
    const heading = document.createElement("h2");
    heading.textContent = title;
    const place = document.createElement("div");
    charts.append(heading, place);
    const palette = isDark.matches ? palettes.dark : palettes.light;
    const positive = (value) => (log && !(value > 0) ? null : value);
    const data = uPlot.join(curves.map((c) => [c.x, c.y.map(positive)]));
    data.slice(1).forEach(widenGaps);
    let shade = 0;
    const strokes = new Map();
    const series = curves.map((c) => {
      const index = c.style.ink ? 0 : shade++;
      const ink = strokes.get(c.style.like) ?? css("--ink");
      const stroke = c.style.ink ? ink : palette[index % palette.length];
      strokes.set(c, stroke);
      return {
        label: c.label,
        stroke,
        width: c.style.like ? 1 : 1.5,
        dash: c.style.ink ? edgeDashes[(c.style.nth ?? 0) % edgeDashes.length] : dashes[Math.floor(index / palette.length) % dashes.length],
        // A null is a gap; a step that only other curves have is none.
        spanGaps: false,
        points: c.style.points ? { show: true, size: 7, fill: stroke } : { filter: alone, fill: stroke },
        paths: c.style.points ? () => null : undefined,
        value: c.style.value ?? ((_, value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(5)))),
      };
    });
    const axis = { stroke: css("--dim"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--grid"), width: 1 } };
    const numbers = (_, splits) => splits.map((v) => (v === null ? "" : Math.abs(v) >= 1e5 || (v !== 0 && Math.abs(v) < 1e-3) ? v.toExponential(0) : String(Number(v.toPrecision(6)))));
    const options = {
      title,
      width: place.clientWidth,
      height: curves[0].style.rows ? 40 + 34 * curves[0].style.rows.length + 40 : 300,
      cursor: { sync: { key: "step" }, focus: { prox: 24 } },
      scales: {
        x: { time: false },
        y: curves[0].style.rows ? { range: [-0.5, curves[0].style.rows.length - 0.5] } : { distr: log ? 3 : 1 },
      },
      axes: [
        { ...axis, label: "step", labelSize: 22 },
        curves[0].style.rows
          ? { ...axis, size: 170, splits: () => curves[0].style.rows.map((_, row) => row), values: (_, splits) => splits.map((row) => curves[0].style.rows[row] ?? "") }
          : { ...axis, size: 70, values: numbers },
      ],
      series: [{ label: "step" }, ...series],
    };
    const plot = new uPlot(options, data, place);
    plots.push({ plot, place });
  }

  function draw() {
    for (const { plot } of plots.splice(0)) plot.destroy();
    charts.replaceChildren();
    const measured = runs.some((run) => run.tasks.some((task) => task.step.length > 0));
    if (!measured) {
      const empty = document.createElement("p");
      empty.className = "empty";
      empty.textContent = "Nothing was measured in these runs.";
      charts.append(empty);
      return;
    }
    const one = runs[0].tasks[0];
    for (const { title, curves, threshold, line } of data.charts) {
      const all = each((run, task) => {
        const ofTask = (symbol) => (isTrain(task) ? symbol : `${symbol} of ${task.name}`);
        const [lead, ...others] = curves.map((c) => curve(withName(ofTask(c.symbol), run), task, c));
        // Of several runs, each threshold has the colour of its run.
        const style = { ink: true, like: runs.length > 1 ? lead : undefined };
        const edge = threshold.map((c, nth) => curve(withName(c.symbol, run), task, c, { ...style, nth }));
        return [lead, ...edge, ...others];
      });
      if (line && all.some((c) => c.y.some((value) => value !== null))) {
        const [value, label] = line;
        all.push({ label, x: one.step, y: one.step.map(() => value), style: { ink: true } });
      }
      show(title, all, { log: curves[0].scale === "log" });
    }

    const names = new Set();
    for (const run of runs) for (const task of run.tasks) for (const [, outcome] of task.outcomes) names.add(outcome);
    const rows = [...names].sort();
    show("Measurements without a number", each((run, task) => {
      if (task.outcomes.length === 0) return [];
      const label = withName(task.name, run);
      const reasons = new Map(task.outcomes.map(([index, outcome, reason]) => [task.step[index], reason ? `${outcome}: ${reason}` : outcome]));
      return [{
        label,
        x: task.outcomes.map(([index]) => task.step[index]),
        y: task.outcomes.map(([, outcome]) => rows.indexOf(outcome)),
        style: {
          points: true,
          rows,
          value: (plot, value, _, index) => (value === null || value === undefined ? "–" : reasons.get(plot.data[0][index]) ?? rows[value]),
        },
      }];
    }));
  }

  const standing = document.getElementById("standing");
  for (const run of runs) {
    if (run.no_number) {
      const line = document.createElement("p");
      line.className = "warning";
      line.textContent = runs.length > 1 ? `${run.name}: ${run.no_number}` : run.no_number;
      standing.append(line);
    }
    for (const note of run.notes) {
      const line = document.createElement("p");
      line.className = "hint";
      line.textContent = `${run.name}: ${note}`;
      details.append(line);
    }
    if (run.config) {
      const box = document.createElement("details");
      const head = document.createElement("summary");
      head.textContent = `Configuration of ${run.name}`;
      const text = document.createElement("pre");
      text.textContent = run.config;
      box.append(head, text);
      details.append(box);
    }
  }
  draw();
  isDark.addEventListener("change", draw);
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const { plot, place } of plots) plot.setSize({ width: place.clientWidth, height: plot.height });
    }, 100);
  });
})();
