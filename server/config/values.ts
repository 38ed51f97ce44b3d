import { durationMs } from './duration.ts';
import { type FlagName, type Settings, UsageError } from './flags.ts';

export type Values = Settings['values'];

/** A whole number, which may be negative. */
export function integerOf(values: Values, flag: FlagName, fallback: number): number {
  const text = values.get(flag);
  if (text === undefined) return fallback;
  const number = Number(text);
  if (/^[-+]?\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  throw invalid(flag, text, 'a whole number');
}

/** Milliseconds. */
export function durationOf(values: Values, flag: FlagName, fallbackMs: number): number {
  const text = values.get(flag);
  if (text === undefined) return fallbackMs;
  const ms = durationMs(text);
  if (ms !== undefined && ms >= 0) return ms;
  throw invalid(flag, text, 'a duration such as 30s or 1h');
}

/** What Go takes for a boolean. */
export function booleanOf(values: Values, flag: FlagName, fallback: boolean): boolean {
  const text = values.get(flag);
  if (text === undefined) return fallback;
  const value = parseBoolean(text);
  if (value !== undefined) return value;
  throw invalid(flag, text, 'true or false');
}

export function parseBoolean(text: string): boolean | undefined {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  return /^(0|f|F|false|FALSE|False)$/.test(text) ? false : undefined;
}

export function invalid(flag: FlagName, text: string, expected: string): UsageError {
  return new UsageError(`invalid value "${text}" for flag --${flag}: expected ${expected}`);
}
