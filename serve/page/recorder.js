// Hands the microphone's samples on, 100 ms at a time.
class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.held = new Float32Array(sampleRate / 10);
    this.length = 0;
  }

  process([input]) {
    for (const sample of input[0] ?? []) {
      this.held[this.length++] = sample;
      if (this.length === this.held.length) {
        this.port.postMessage(this.held.slice());
        this.length = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
