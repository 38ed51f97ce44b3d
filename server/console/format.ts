// Numbers as people read them.

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${short(value)} ${units[unit]}`;
}

export function countText(count: number): string {
  return plain.format(count);
}

export function rateText(perSecond: number): string {
  return `${short(perSecond)}/s`;
}

export function secondsText(seconds: number): string {
  if (seconds === 0) return '0 ms';
  if (seconds < 0.001) return `${short(seconds * 1_000_000)} µs`;
  return seconds < 1 ? `${short(seconds * 1_000)} ms` : `${short(seconds)} s`;
}

/** Three digits that matter. */
function short(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return plain.format(value);
  return value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, '') || '0';
}

export function durationText(seconds: number): string {
  const parts: ReadonlyArray<readonly [number, string]> = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor((seconds % 86_400) / 3_600), 'h'],
    [Math.floor((seconds % 3_600) / 60), 'min'],
    [Math.floor(seconds % 60), 's'],
  ];
  // The two largest tell enough.
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0 s';
  const told = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return told.map(([count, unit]) => `${count} ${unit}`).join(' ');
}

export function timeText(date: Date): string {
  return date.toLocaleTimeString('en-GB');
}

/** As etcdctl writes ids. */
export function hexText(id: string | undefined): string {
  return BigInt.asUintN(64, BigInt(id ?? '0')).toString(16);
}

export function plural(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? '' : 's'}`;
}
