// How charts are drawn: the server sends what, and this says how, in the page's colours, language and time zone.
"use strict";
const charts = (() => {
  const DAY_S = 86400;
  const language = document.documentElement.lang.split("-")[0];
  const locale = navigator.languages.find((one) => one.split("-")[0] === language) || language;
  const format = (options) => new Intl.DateTimeFormat(locale, options);
  const clock = format({ hour: "numeric", minute: "2-digit" });
  const month = format({ month: "short", year: "numeric" });
  const date = format({ day: "numeric", month: "short" });
  const day = format({ weekday: "short", day: "numeric" });
  const exact = format({ weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const SHARES = [0.01, 0.02, 0.05, 0.1, 0.25];
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--pg-${name}`).trim();

  // --- figures ---------------------------------------------------------------------------------------------------

  const number = (value, digits) => value.toLocaleString(locale, { maximumFractionDigits: digits });

  function power(value) {
    let found = 0;
    while (found < SIZES.length - 1 && value >= 1024 ** (found + 1)) found += 1;
    return found;
  }

  function size(value) {
    const unit = power(value);
    const count = value / 1024 ** unit;
    return `${number(count, unit && count < 100 ? 1 : 0)} ${SIZES[unit]}`;
  }

  const WORDS = {
    share: (value) => `${number(100 * value, value < 0.1 ? 1 : 0)} %`,
    bytes: size,
    rate: (value) => `${size(value)}/s`,
  };

  // The smallest nice step with which four of them reach the top.
  function step(unit, top) {
    if (unit === "share") return SHARES.find((one) => one * 4 >= top) || 0.25;
    return 2 ** Math.max(0, Math.ceil(Math.log2(top / 4)));
  }

  // --- the parts of an ECharts option ----------------------------------------------------------------------------

  function axis(unit, top) {
    const each = step(unit, top || 1);
    const max = Math.max(1, Math.ceil(top / each - 1e-9)) * each;
    return { type: "value", min: 0, max, interval: each, axisLabel: { formatter: WORDS[unit], fontSize: 12 } };
  }

  function time(first, last) {
    const formatter = (value) => {
      const at = new Date(value);
      if (last - first > 90 * DAY_S) return month.format(at);
      if (last - first > 10 * DAY_S) return date.format(at);
      return last - first > 2 * DAY_S || (!at.getHours() && !at.getMinutes()) ? day.format(at) : clock.format(at);
    };
    const narrow = window.innerWidth < 640;
    return {
      type: "time", min: 1000 * first, max: 1000 * last, splitNumber: narrow ? 3 : 4,
      axisLabel: { formatter, hideOverlap: true, fontSize: 12 }, axisTick: { show: false }, splitLine: { show: false },
    };
  }

  function lines(times, curves) {
    const points = (values) => values.map((value, index) => [1000 * times[index], value]);
    const plain = { type: "line", showSymbol: false, connectNulls: false, animation: false, silent: true };
    return curves.map(({ id, label, values, limit }, index) => ({
      ...plain,
      id,
      name: label,
      data: points(values),
      lineStyle: { width: limit ? 1.5 : 2, type: limit ? "dashed" : "solid" },
      ...(limit || index ? {} : { areaStyle: { opacity: 0.12 } }),
    }));
  }

  function tooltip(unit) {
    const value = ({ value: [, one] }) => (one === null || one === undefined ? "–" : WORDS[unit](one));
    const formatter = (points) => {
      const box = document.createElement("div");
      box.append(exact.format(new Date(points[0].value[0])));
      for (const point of points) {
        const line = document.createElement("div");
        line.className = "pg-tip";
        const label = document.createElement("span");
        const figure = document.createElement("b");
        const swatch = document.createElement("i");
        swatch.className = `pg-swatch pg-${point.seriesId}`;
        label.textContent = point.seriesName;
        figure.textContent = value(point);
        line.append(swatch, label, figure);
        box.append(line);
      }
      return box;
    };
    return { trigger: "axis", confine: true, formatter, transitionDuration: 0, axisPointer: { animation: false } };
  }

  // --- colours ---------------------------------------------------------------------------------------------------

  function colours(ids) {
    const soft = token("soft");
    const line = token("line");
    const label = { axisLabel: { color: soft }, axisLine: { lineStyle: { color: token("line-strong") } } };
    return {
      xAxis: label,
      yAxis: { ...label, splitLine: { lineStyle: { color: line } } },
      tooltip: {
        backgroundColor: token("surface"), borderColor: line, textStyle: { color: token("text"), fontFamily: token("font"), fontSize: 13 },
        axisPointer: { lineStyle: { color: token("line-strong") } },
      },
      textStyle: { fontFamily: token("font") },
      series: ids.map((id) => ({ id, lineStyle: { color: token(id) }, itemStyle: { color: token(id) } })),
    };
  }

  // Every chart of the page, in the colours of now.
  function dress() {
    for (const place of document.querySelectorAll(".nicegui-echart")) {
      const chart = window.getElement?.(Number(place.id.slice(1)))?.chart;
      const drawn = chart?.getOption()?.series;
      if (drawn?.length) chart.setOption(colours(drawn.map(({ id }) => id)));
    }
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTimeout(dress));
  new MutationObserver(dress).observe(document.head, { subtree: true, attributeFilter: ["media"] });
  new MutationObserver(dress).observe(document.body, { attributeFilter: ["class"] });

  // A part of an option with its colours, for what is drawn for the first time and again.
  function merged(one, other) {
    if (typeof one !== "object" || one === null || Array.isArray(one)) return other === undefined ? one : other;
    const all = { ...one };
    for (const [name, value] of Object.entries(other || {})) all[name] = merged(one[name], value);
    return all;
  }
  const dressed = (name, part) => merged(part, colours([])[name]);

  return {
    x: (first, last) => dressed("xAxis", time(first, last)),
    y: (unit, top) => dressed("yAxis", axis(unit, top)),
    tooltip: (unit) => dressed("tooltip", tooltip(unit)),
    lines: (times, curves) => {
      const own = colours(curves.map(({ id }) => id)).series;
      return lines(times, curves).map((one, index) => merged(one, own[index]));
    },
    text: () => colours([]).textStyle,
  };
})();
window.charts = charts;
