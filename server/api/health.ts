import {
  Health,
  type HealthCheckRequest,
  type HealthCheckResponse,
  ServingStatus,
} from '../proto/gen/health.ts';
import type { Call, Requests, Responses } from './call.ts';
import { StatusError } from './errors.ts';
import type { Gate } from './gate.ts';

/** grpc.health.v1 of the server as a whole, the service named ''. As in etcd, single services are not known. */
export function healthCalls({ gate }: { gate: Gate }): Call[] {
  return [
    gate.unary(Health.methods.check, 'serves', async (request) => check(request)),
    gate.stream(Health.methods.watch, 'serves', (responses) => watch(responses)),
  ];
}

function check({ service }: HealthCheckRequest): HealthCheckResponse {
  if (service !== '') throw new StatusError('NOT_FOUND', 'unknown service');
  return { status: ServingStatus.SERVING };
}

/** The status does not change while the server runs: said once, however often it is asked; then the stream stays open. */
function watch(responses: Responses<HealthCheckResponse>): Requests<HealthCheckRequest> {
  let isTold = false;
  return {
    next({ service }) {
      if (isTold) return;
      isTold = true;
      const isKnown = service === '';
      responses.send({ status: isKnown ? ServingStatus.SERVING : ServingStatus.SERVICE_UNKNOWN });
    },
    halfClosed() {},
    drained() {},
    closed() {},
  };
}
