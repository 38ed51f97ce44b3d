import type { RequestOp } from '../proto/gen/rpc.ts';
import { requestBytesMax } from './requests.ts';

/** Operations that are written together, as they come. */
export class OperationBatch {
  readonly #operationsMax: number;
  readonly #write: (operations: readonly RequestOp[]) => Promise<void>;
  #operations: RequestOp[] = [];
  #bytes = 0;

  constructor(operationsMax: number, write: (operations: readonly RequestOp[]) => Promise<void>) {
    this.#operationsMax = operationsMax;
    this.#write = write;
  }

  async add(operation: RequestOp): Promise<void> {
    const bytes = sizeOf(operation);
    if (this.#operations.length > 0 && this.#bytes + bytes > requestBytesMax) await this.flush();
    this.#operations.push(operation);
    this.#bytes += bytes;
    if (this.#operations.length >= this.#operationsMax) await this.flush();
  }

  async flush(): Promise<void> {
    const operations = this.#operations;
    this.#operations = [];
    this.#bytes = 0;
    if (operations.length > 0) await this.#write(operations);
  }
}

function sizeOf({ request }: RequestOp): number {
  if (request?.kind === 'requestPut') return request.value.key.length + request.value.value.length;
  return request?.kind === 'requestDeleteRange' ? request.value.key.length : 0;
}
