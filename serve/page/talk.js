// Talks with the server over /v1/realtime: microphone in, answer out, and what was said.
const RATE = 24000;
const at = (id) => document.getElementById(id);
const items = new Map(); // list entries, by item id
const starts = new Map(); // when each answer began to be played, in seconds of the context
let socket, context, playing, nextAt, stoppedAt, responding;

at("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket) return stop("not connected");
  start().catch((error) => stop(`cannot start: ${error.message}`));
});
at("interrupt").addEventListener("click", () => {
  if (responding) send({ type: "response.cancel" });
  silence(true);
});

async function start() {
  at("state").textContent = "asking for the microphone";
  const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  context = new AudioContext({ sampleRate: RATE });
  await context.audioWorklet.addModule("page/recorder.js");
  const recorder = new AudioWorkletNode(context, "recorder");
  context.createMediaStreamSource(stream).connect(recorder);
  const protocols = ["realtime"];
  if (at("key").value) protocols.push(`openai-insecure-api-key.${at("key").value}`);
  const place = new URL("v1/realtime", location.href);
  place.protocol = place.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(place, protocols);
  playing = new Map();
  nextAt = 0;
  socket.onmessage = (message) => take(JSON.parse(message.data));
  socket.onclose = () => stop("the server has closed the connection");
  recorder.port.onmessage = ({ data }) => {
    at("heard").value = level(data);
    if (socket?.readyState === WebSocket.OPEN) {
      send({ type: "input_audio_buffer.append", audio: encoded(data) });
    }
  };
  socket.stream = stream;
  at("start").textContent = "Stop";
}

function stop(state) {
  socket?.stream.getTracks().forEach((track) => track.stop());
  if (socket) socket.onclose = null;
  socket?.close();
  context?.close();
  socket = context = undefined;
  responding = false;
  at("start").textContent = "Talk";
  at("interrupt").disabled = true;
  at("state").textContent = state;
  at("heard").value = at("played").value = 0;
}

const send = (event) => socket.send(JSON.stringify(event));

const handlers = {
  "session.created": () => {
    const transcription = { model: "wavemill" };
    send({ type: "session.update", session: { type: "realtime", audio: { input: { transcription } } } });
    at("state").textContent = "listening";
  },
  "input_audio_buffer.speech_started": (event) => {
    at("state").textContent = "hearing you";
    silence(false);
    say(event.item_id, "user", "…");
  },
  "input_audio_buffer.speech_stopped": () => {
    stoppedAt = performance.now();
    at("state").textContent = "thinking";
  },
  "conversation.item.input_audio_transcription.completed": (event) =>
    say(event.item_id, "user", event.transcript || "(speech)"),
  "response.created": () => {
    responding = true;
    at("interrupt").disabled = false;
  },
  "response.output_audio_transcript.delta": (event) => append(event),
  "response.output_text.delta": (event) => append(event),
  "response.output_audio.delta": (event) => {
    if (stoppedAt !== undefined) {
      const seconds = ((performance.now() - stoppedAt) / 1000).toFixed(2);
      at("latency").textContent = `first audio ${seconds} s after you had finished`;
      stoppedAt = undefined;
    }
    at("state").textContent = "answering";
    play(event.item_id, decoded(event.delta));
  },
  "response.done": (event) => {
    responding = false;
    const error = event.response.status_details?.error;
    at("state").textContent = error ? error.message : "listening";
  },
  "conversation.item.truncated": (event) => items.get(event.item_id)?.classList.add("cut"),
  error: (event) => {
    at("state").textContent = event.error.message;
  },
};
const take = (event) => handlers[event.type]?.(event);

function say(id, role, text) {
  let line = items.get(id);
  if (!line) {
    line = document.createElement("li");
    line.className = role;
    items.set(id, line);
    at("talk").append(line);
  }
  if (text !== undefined) line.textContent = text;
  line.scrollIntoView({ block: "end" });
  return line;
}

const append = (event) => say(event.item_id, "assistant").append(event.delta);

function play(item, samples) {
  const buffer = context.createBuffer(1, samples.length, RATE);
  buffer.copyToChannel(samples, 0);
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(context.destination);
  nextAt = Math.max(nextAt, context.currentTime + 0.05);
  const begins = nextAt;
  if (!starts.has(item)) starts.set(item, begins);
  source.start(begins);
  nextAt += buffer.duration;
  playing.set(source, { item });
  setTimeout(() => (at("played").value = level(samples)), (begins - context.currentTime) * 1000);
  source.onended = () => {
    playing.delete(source);
    if (!playing.size) {
      at("played").value = 0;
      at("interrupt").disabled = !responding;
    }
  };
}

// Plays no more of the answer; `tell` lets the server know how much was heard.
function silence(tell) {
  const first = [...playing.values()].at(0);
  for (const source of playing.keys()) source.stop();
  playing.clear();
  at("played").value = 0;
  if (tell && first) {
    const heard = Math.max(0, context.currentTime - starts.get(first.item));
    const audio_end_ms = Math.round(heard * 1000);
    send({ type: "conversation.item.truncate", item_id: first.item, content_index: 0, audio_end_ms });
  }
  nextAt = 0;
}

const level = (samples) => samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0);

function encoded(samples) {
  const whole = Int16Array.from(samples, (one) => Math.max(-1, Math.min(1, one)) * 32767);
  let text = "";
  for (const byte of new Uint8Array(whole.buffer)) text += String.fromCharCode(byte);
  return btoa(text);
}

function decoded(text) {
  const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (one) => one / 32768);
}
