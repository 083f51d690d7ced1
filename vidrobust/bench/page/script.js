"use strict";

const root = document.documentElement;
const themeButton = document.getElementById("theme");
const plots = [...document.querySelectorAll(".plot")];

function colours() {
  const style = getComputedStyle(root);
  const read = (name) => style.getPropertyValue(name).trim();
  return { ink: read("--ink"), line: read("--line") };
}

function themed(layout) {
  const { ink, line } = colours();
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true };
  return {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, family: "system-ui, sans-serif", size: 13 },
    xaxis: { ...layout.xaxis, ...axis },
    yaxis: { ...layout.yaxis, ...axis },
  };
}

function draw() {
  for (const plot of plots) {
    const figure = FIGURES[plot.dataset.figure];
    Plotly.react(plot, figure.data, themed(figure.layout), { responsive: true, displaylogo: false, displayModeBar: false });
  }
}

function setTheme(dark) {
  root.dataset.theme = dark ? "dark" : "light";
  themeButton.textContent = dark ? "Light" : "Dark";
  themeButton.setAttribute("aria-pressed", String(dark));
  draw();
}

const preference = matchMedia("(prefers-color-scheme: dark)");
preference.addEventListener("change", () => setTheme(preference.matches));
themeButton.addEventListener("click", () => setTheme(root.dataset.theme !== "dark"));
setTheme(preference.matches);

function boxElements(boxes, frame) {
  return boxes
    .filter((box) => box.frame === frame)
    .map((box) => {
      const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [name, value] of Object.entries({ x: box.left, y: box.top, width: box.width, height: box.height })) {
        rect.setAttribute(name, value);
      }
      return rect;
    });
}

function describe(quality, frame, isKey) {
  const percent = (100 * quality.touched[frame]).toFixed(0);
  return `frame ${frame + 1}${isKey ? ", key frame" : ""}: SSIM ${quality.ssim[frame].toFixed(3)}, ` +
    `edge width ${quality.blur_clean[frame].toFixed(2)} to ${quality.blur[frame].toFixed(2)} pixels, ${percent} % of pixels touched`;
}

function setUp(clip) {
  const frames = Number(clip.dataset.frames);
  const quality = JSON.parse(clip.dataset.quality);
  const keyFrames = JSON.parse(clip.dataset.keyframes);
  const boxes = JSON.parse(clip.dataset.boxes);
  const slider = clip.querySelector("input");
  const button = clip.querySelector(".play");
  const output = clip.querySelector("output");
  let timer = null;

  function show() {
    const frame = Number(slider.value);
    const isKey = keyFrames.includes(frame);
    clip.classList.toggle("key", isKey);
    for (const image of clip.querySelectorAll("img")) {
      image.style.transform = `translateX(${(-100 * frame) / frames}%)`;
    }
    for (const overlay of clip.querySelectorAll("svg")) overlay.replaceChildren(...boxElements(boxes, frame));
    output.textContent = describe(quality, frame, isKey);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }

  function play() {
    button.textContent = "Stop";
    timer = setInterval(() => {
      slider.value = (Number(slider.value) + 1) % frames;
      show();
    }, 120);
  }

  slider.addEventListener("input", () => { if (timer) stop(); show(); });
  button.addEventListener("click", () => (timer ? stop() : play()));
  show();
}

for (const clip of document.querySelectorAll(".clip")) setUp(clip);
