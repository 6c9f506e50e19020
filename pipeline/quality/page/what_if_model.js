// What moving thresholds would keep: the rules act together on the values of segments.

const STEPS = 200; // of a slider

class Model {
  constructor(given) {
    Object.assign(this, given);
    this.values = Object.fromEntries(
      Object.entries(given.columns).map(([name, text]) => [name, new Float32Array(bytes(text).buffer)]),
    );
    this.masks = new Uint32Array(bytes(given.broken).buffer);
    this.weight = this.sampled ? this.segments / this.sampled : 0;
    this.moved = new Map(); // index of a knob -> threshold, or null where the rule is switched off
    this.sampledNow = this.sum(() => true, this.breaksNow());
  }

  // For each segment, the rules that it breaks: stored ones, and anew those that were moved.
  breaksNow(except = -1) {
    const breaks = Uint32Array.from(this.masks);
    const bits = [...this.moved.keys(), ...(except < 0 ? [] : [except])].reduce(
      (sum, index) => sum | (1 << index),
      0,
    );
    for (let i = 0; i < breaks.length; i += 1) breaks[i] &= ~bits;
    for (const [index, threshold] of this.moved) {
      if (threshold === null || index === except) continue;
      const { column, side } = this.knobs[index];
      const [values, limit] = [this.values[column], Math.fround(threshold)];
      for (let i = 0; i < breaks.length; i += 1) {
        // null (NaN) meets every rule
        if (side === "min" ? values[i] < limit : values[i] > limit) breaks[i] |= 1 << index;
      }
    }
    return breaks;
  }

  sum(passes, breaks) {
    let [seconds, count] = [0, 0];
    for (let i = 0; i < breaks.length; i += 1) {
      if (!breaks[i] && passes(i)) {
        seconds += this.values.duration_s[i];
        count += 1;
      }
    }
    return { hours: seconds / 3600, count };
  }

  // All that is known of what is kept now, moved by what the sample says.
  keptNow() {
    const now = this.sum(() => true, this.breaksNow());
    return {
      hours: this.kept_hours + this.weight * (now.hours - this.sampledNow.hours),
      count: Math.round(this.kept + this.weight * (now.count - this.sampledNow.count)),
    };
  }

  // Hours kept for every threshold of one rule, the others as they are set.
  curve(index) {
    const { column, side, low, high } = this.knobs[index];
    const breaks = this.breaksNow(index);
    const [values, seconds] = [this.values[column], this.values.duration_s];
    const passing = [...breaks.keys()].filter((i) => !breaks[i]);
    const always = passing.filter((i) => Number.isNaN(values[i])).reduce((sum, i) => sum + seconds[i], 0);
    const known = passing
      .filter((i) => !Number.isNaN(values[i]))
      .sort((a, b) => (side === "min" ? values[b] - values[a] : values[a] - values[b]));
    const thresholds = Array.from({ length: STEPS + 1 }, (_, step) => low + ((high - low) * step) / STEPS);
    if (side === "min") thresholds.reverse();
    let [at, sum] = [0, always];
    return thresholds.map((threshold) => {
      const limit = Math.fround(threshold);
      while (at < known.length && (side === "min" ? values[known[at]] >= limit : values[known[at]] <= limit))
        sum += seconds[known[at++]];
      return { threshold, hours: this.kept_hours + this.weight * (sum / 3600 - this.sampledNow.hours) };
    });
  }
}
