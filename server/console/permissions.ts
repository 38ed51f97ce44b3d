import { fromBase64, isEqual, prefixEnd, shownText } from './bytes.ts';
import { type Gateway, GatewayError } from './gateway.ts';

/** As the gateway has it. */
export interface Permission {
  /** Left out: READ. */
  readonly permType?: 'READ' | 'WRITE' | 'READWRITE';
  readonly key?: string;
  readonly range_end?: string;
}

export interface PermittedRange {
  readonly permType: 'READ' | 'WRITE' | 'READWRITE';
  readonly key: Uint8Array;
  /** Undefined: the one key. */
  readonly end: Uint8Array | undefined;
}

const zero = Uint8Array.of(0);

export function permittedRange({ permType = 'READ', key, range_end }: Permission): PermittedRange {
  const end = range_end === undefined || range_end === '' ? undefined : fromBase64(range_end);
  return { permType, key: fromBase64(key), end };
}

/** For a person: a prefix where it is one. */
export function rangeText({ key, end }: Pick<PermittedRange, 'key' | 'end'>): string {
  if (end === undefined) return shownText(key);
  const isOpen = isEqual(end, zero);
  if (isOpen && (key.length === 0 || isEqual(key, zero))) return 'all keys';
  if (isOpen) return `${shownText(key)} and all behind it`;
  if (isEqual(end, prefixEnd(key))) return `${shownText(key)}…`;
  return `${shownText(key)} up to ${shownText(end)}`;
}

/** What the roles of the user who is logged in allow; nothing where it cannot be told. */
export async function ownRanges(gateway: Gateway): Promise<PermittedRange[]> {
  if (gateway.user === undefined) return [];
  try {
    const { roles = [] } = await gateway.call<{ roles?: string[] }>('auth/user/get', {
      name: gateway.user,
    });
    const all = await Promise.all(
      roles.map((role) => gateway.call<{ perm?: Permission[] }>('auth/role/get', { role })),
    );
    return all.flatMap(({ perm = [] }) => perm.map(permittedRange));
  } catch (error) {
    if (error instanceof GatewayError) return [];
    throw error;
  }
}
