/** A refusal by the API server: the HTTP code, and the reason of its Status object. */
export class KubeError extends Error {
  override name = 'KubeError';
  readonly code: number;
  /** `Conflict`, `AlreadyExists`, `Invalid` ...; empty when the answer was no Status. */
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }

  static fromAnswer(code: number, what: string, body: string): KubeError {
    const status = parseStatus(body);
    return new KubeError(
      code,
      status.reason ?? '',
      `${what}: ${status.message ?? `HTTP ${code} ${body.slice(0, 200)}`}`,
    );
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof KubeError && error.code === 404;
}

/** Someone else was first: read again and decide anew. */
export function isConflict(error: unknown): boolean {
  return error instanceof KubeError && error.code === 409;
}

function parseStatus(body: string): { readonly reason?: string; readonly message?: string } {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
