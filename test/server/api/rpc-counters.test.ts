import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UnaryCall } from '../../../server/api/call.ts';
import { GrpcCode } from '../../../server/api/errors.ts';
import { RpcCounters } from '../../../server/api/rpc-counters.ts';
import { servicesOf } from '../../../server/api/services.ts';
import { KV, RangeRequest } from '../../../server/proto/gen/rpc.ts';
import { contextOf, FakeMember } from './fake-member.ts';

test('a call that is refused before anything is done for it is counted as handled', () => {
  const counters = new RpcCounters({ nowMs: () => 0 }, { hasSeconds: false });
  const services = servicesOf(new FakeMember(), {
    txnOpsMax: 1,
    messageBytesMax: 1000,
    counters,
  });
  const range = services.find(KV.methods.range.path) as UnaryCall;
  assert.throws(() => void range.run(RangeRequest.create(), contextOf()));
  const counter = counters.counters.find(({ method }) => method.path === KV.methods.range.path);
  assert.equal(counter?.started, 1);
  assert.equal(counter?.handled[GrpcCode.INVALID_ARGUMENT], 1);
});
