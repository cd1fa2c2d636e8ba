// The drawing area. Its value is an image file as a data URL: the drawing as PNG, an example, or a
// file that was dropped, chosen or pasted, byte for byte. An empty value is an empty sheet.
const PEN = 18;  // of 256 pixels, about what MNIST's strokes are of their 28
const PAUSE = 100;  // milliseconds between answers while a stroke is being drawn

const canvas = element.querySelector("canvas");
const message = element.querySelector(".mz-message");
const file = element.querySelector("input[type=file]");
const context = canvas.getContext("2d");
let drawing = false;
let foreign = false;  // the sheet shows an image, which a new stroke replaces
let timer = null;

function clear() {
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  foreign = false;
  message.textContent = "";
}

function send(value) {
  clearTimeout(timer);
  timer = null;
  props.value = value;
  trigger("input");
}

function sendDrawing() {
  send(canvas.toDataURL("image/png"));
}

function point(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width,
          (event.clientY - box.top) * canvas.height / box.height];
}

canvas.addEventListener("pointerdown", event => {
  if (event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  if (foreign) clear();
  drawing = true;
  context.lineWidth = PEN;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "#000";
  context.beginPath();
  context.moveTo(...point(event));
  context.lineTo(...point(event));
  context.stroke();
});

canvas.addEventListener("pointermove", event => {
  if (!drawing) return;
  const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const each of events.length ? events : [event]) context.lineTo(...point(each));
  context.stroke();
  timer ??= setTimeout(sendDrawing, PAUSE);
});

for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => {
    if (drawing) sendDrawing();
    drawing = false;
  });
}

element.querySelector(".mz-clear").addEventListener("click", () => { clear(); send(""); });

function show(url) {
  clear();
  foreign = true;
  send(url);
  const image = new Image();  // a kind that the browser cannot draw is answered all the same
  image.onload = () => {
    const scale = Math.min(canvas.width / image.width, canvas.height / image.height);
    const [width, height] = [image.width * scale, image.height * scale];
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  };
  image.src = url;
}

function open(chosen) {
  if (!chosen) return;
  if (chosen.size > props.max_bytes) {
    message.textContent =
      "The file is larger than " + props.max_bytes / 1e6 + " MB. Make the image smaller first.";
    return;
  }
  const reader = new FileReader();
  reader.onload = () => show(reader.result);
  reader.onerror = () => { message.textContent = "The file could not be read."; };
  reader.readAsDataURL(chosen);
}

file.addEventListener("change", () => { open(file.files[0]); file.value = ""; });
element.addEventListener("dragover", event => event.preventDefault());
element.addEventListener("drop", event => {
  event.preventDefault();
  open(event.dataTransfer.files[0]);
});
document.addEventListener("paste", event => open(event.clipboardData.files[0]));

element.querySelectorAll(".mz-example").forEach(button => {
  button.addEventListener("click", () => show(button.querySelector("img").src));
});

clear();
