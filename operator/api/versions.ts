/** `minor` is x.y of x.y.z. A release may change to any other of its own minor. */
interface Release {
  readonly minor: string;
  /** Minors to which a running store may go from this one, back included. */
  readonly next: readonly string[];
  /** Whether its image has the tools that back up, restore and mirror. */
  readonly hasTools: boolean;
}

/**
 * The releases that this operator knows, oldest first, and the steps between them that are safe one member at a time.
 * A step back is one while every format that the newer one writes is announced to, and understood by, the older one.
 */
export const releases: readonly Release[] = [
  { minor: '0.1', next: ['0.2'], hasTools: false },
  { minor: '0.2', next: ['0.1'], hasTools: true },
];

/** Why a store of this version may not become one of that; undefined when it may, or when one of them is no x.y.z. */
export function refusedChange(from: string, to: string): string | undefined {
  const [present, wanted] = [minorOf(from), minorOf(to)];
  if (present === undefined || wanted === undefined || present === wanted) return undefined;
  const unknown = unknownVersion(to);
  if (unknown !== undefined) return unknown;
  const next = releases.find(({ minor }) => minor === present)?.next ?? [];
  if (next.includes(wanted)) return undefined;
  return `from ${from} a store can go to ${[present, ...next].map((minor) => `${minor}.x`).join(' or ')}`;
}

/** Why no store can have this version; undefined when one can. */
export function unknownVersion(version: string): string | undefined {
  const wanted = minorOf(version);
  if (wanted === undefined || releases.some(({ minor }) => minor === wanted)) return undefined;
  const known = releases.map(({ minor }) => `${minor}.x`).join(', ');
  return `this operator knows the releases ${known}: choose one of them, or upgrade the operator first`;
}

/** Whether the image has the tools that back up, restore and mirror; one whose tag is no release of ours is believed to. */
export function hasTools(image: string): boolean {
  const minor = minorOf(tagOf(image));
  return releases.find((release) => release.minor === minor)?.hasTools ?? true;
}

/** The x.y of x.y.z; undefined for what is no release. */
function minorOf(version: string): string | undefined {
  return /^([0-9]+\.[0-9]+)\.[0-9]+$/.exec(version)?.[1];
}

/** Tag of an image; the image itself when it has none. */
export function tagOf(image: string): string {
  return /:([^:/@]+)(@.*)?$/.exec(image)?.[1] ?? image;
}
