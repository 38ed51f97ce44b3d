import type { Flag } from './flags.ts';

/** What every command takes; each also as MAINSTAYCTL_NAME or ETCDCTL_NAME in the environment. */
export const globalFlags: readonly Flag[] = [
  {
    name: 'endpoints',
    value: 'HOST:PORT,...',
    default: '127.0.0.1:2379',
    summary: 'the members to ask, one after the other',
  },
  {
    name: 'write-out',
    short: 'w',
    value: 'FORMAT',
    choices: ['simple', 'table', 'json', 'fields'],
    summary:
      'how to print: simple, table, json or fields; json and fields are as etcdctl prints them',
  },
  {
    name: 'hex',
    summary:
      'print keys and values as \\x escapes, and ids in JSON lists of members in hexadecimal',
  },
  {
    name: 'command-timeout',
    value: 'DURATION',
    default: '5s',
    summary: 'how long one call may take, every attempt included, such as 500ms, 5s or 1m',
  },
  {
    name: 'dial-timeout',
    value: 'DURATION',
    default: '2s',
    summary: 'how long one attempt to connect may take',
  },
  {
    name: 'user',
    value: 'NAME[:PASSWORD]',
    summary: 'who asks, where authentication is on; without a password it is asked for',
  },
  { name: 'password', value: 'PASSWORD', summary: 'the password of --user, apart from the name' },
  {
    name: 'cacert',
    value: 'FILE',
    default: 'public authorities',
    summary: 'who signs the certificates of members that speak TLS',
  },
  { name: 'cert', value: 'FILE', summary: 'the certificate to show, with --key' },
  { name: 'key', value: 'FILE', summary: 'the key of --cert' },
  { name: 'insecure-skip-tls-verify', summary: 'believe any certificate: for tests only' },
  {
    name: 'insecure-transport',
    default: 'true',
    summary: '--insecure-transport=false asks for TLS where nothing else does',
  },
  { name: 'help', short: 'h', summary: 'how to use the command' },
];
