import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { startLocalKube } from './local-kube.ts';

/** `node dist/e2e/localkube/main.js --data-dir DIR [--port N]`: runs until SIGINT or SIGTERM. */
const { values } = parseArgs({
  options: {
    'data-dir': { type: 'string', default: '.mainstay/localkube' },
    port: { type: 'string', default: '0' },
  },
});
const kube = await startLocalKube({
  dataDirectory: values['data-dir'],
  port: Number(values.port),
  logger: pino(),
});
console.log(`KUBECONFIG=${kube.kubeconfigPath}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void kube.stop().then(() => process.exit(0)));
}
