// outside
(width) =>
  [...document.querySelectorAll(".chart svg text, button, input, select, audio")]
    .filter((one) => one.checkVisibility() && !one.closest(".scroll, nav"))
    .filter((one) => one.getBoundingClientRect().right > width)
    .map((one) => one.textContent || one.outerHTML);

// nameless
() =>
  [...document.querySelectorAll("button, input, select, audio, a, summary")]
    .filter((one) => !(one.textContent.trim() || one.ariaLabel || one.labels?.length))
    .map((one) => one.outerHTML);

// pale
() => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data];
  };
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) =>
    [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => sum + part * linear(colour[i] / 255), 0);
  const ground = (node) => {
    const colour = rgba(node instanceof SVGElement ? "transparent" : getComputedStyle(node).backgroundColor);
    return colour[3] === 255 ? colour : ground(node.parentElement);
  };
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.querySelectorAll("body *")]
    .filter((node) => hasText(node) && node.checkVisibility() && !node.disabled)
    .filter((node) => !node.closest(".hidden, .skip, legend, option, script"))
    .map((node) => {
      const style = getComputedStyle(node);
      const colour = rgba(node instanceof SVGElement ? style.fill : style.color);
      const [dark, light] = [luminance(colour), luminance(ground(node))].sort((a, b) => a - b);
      const size = parseFloat(style.fontSize);
      const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
      return { text: node.textContent.slice(0, 30), ratio: (light + 0.05) / (dark + 0.05), isLarge };
    })
    .filter(({ ratio, isLarge }) => ratio < (isLarge ? 3 : 4.5))
    .map(({ text, ratio }) => `${text}: ${ratio.toFixed(2)}`);
};
