import type { Logger } from '../base/logger.ts';
import { cipherList } from './cipher-suites.ts';
import { type FlagName, UsageError } from './flags.ts';
import { parseUrl } from './urls.ts';
import { booleanOf, type Values } from './values.ts';

/** TLS of the listeners for clients, or of those for peers and of the connections to them. Empty paths: not given. */
export interface TlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
  /** What this member shows when it connects to others, if not the same. */
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
  readonly trustedCaFile: string;
  readonly crlFile: string;
  readonly isClientCertRequired: boolean;
  /** A certificate must be for one of these; not both at once. */
  readonly allowedCommonNames: readonly string[];
  readonly allowedHostnames: readonly string[];
  /** Whether the addresses in a client's certificate may be others than the one that it comes from. Peers only. */
  readonly skipsClientSanCheck: boolean;
  /** Without a certificate one is made, signed by itself. */
  readonly isAuto: boolean;
  readonly selfSignedYears: number;
  /** As OpenSSL has it. */
  readonly ciphers: string;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
}

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';
type Side = '' | 'peer-';

/** `side` is the prefix of the flags. Throws {@link UsageError}, in etcd's words where etcd refuses it too. */
export function tlsConfig(values: Values, side: Side): TlsConfig {
  const text = (name: FlagName): string => values.get(name) ?? '';
  const years = text('self-signed-cert-validity') || '1';
  if (!/^[1-9]\d{0,2}$/.test(years)) {
    throw new UsageError(
      years === '0'
        ? 'selfSignedCertValidity is invalid,it should be greater than 0'
        : '--self-signed-cert-validity: expected a number of years from 1 to 999',
    );
  }
  const config: TlsConfig = {
    certFile: text(`${side}cert-file`),
    keyFile: text(`${side}key-file`),
    clientCertFile: text(`${side}client-cert-file`),
    clientKeyFile: text(`${side}client-key-file`),
    trustedCaFile: text(`${side}trusted-ca-file`),
    crlFile: text(side === '' ? 'client-crl-file' : 'peer-crl-file'),
    isClientCertRequired: booleanOf(values, `${side}client-cert-auth`, false),
    allowedCommonNames: side === '' ? [] : listed(values, 'peer-cert-allowed-cn'),
    allowedHostnames: listed(
      values,
      side === '' ? 'client-cert-allowed-hostname' : 'peer-cert-allowed-hostname',
    ),
    skipsClientSanCheck:
      side === '' || booleanOf(values, 'peer-skip-client-san-verification', false),
    isAuto: booleanOf(values, `${side}auto-tls`, false),
    selfSignedYears: Number(years),
    ...protocol(values),
  };
  checkPairs(config);
  if (isSelfSigned(config)) checkSelfSigned(config, side);
  return config;
}

/** Whether a certificate is made for lack of one that is given. */
export function isSelfSigned(config: TlsConfig): boolean {
  return config.isAuto && !isGiven(config);
}

/** etcd's errors for URLs whose scheme needs what is not there. */
export function checkTlsUrls(config: TlsConfig, side: Side, listenUrls: readonly string[]): void {
  if (isGiven(config) || config.isAuto) return;
  const url = listenUrls.find((each) => isSecure(each));
  if (url === undefined) return;
  throw new UsageError(
    side === ''
      ? `TLS key/cert (--cert-file, --key-file) must be provided for client url ${url} with HTTPS scheme`
      : `cannot listen on TLS for ${url.replace(/^[^:]*:\/\//, '')}: KeyFile and CertFile are not presented`,
  );
}

/** Says of each URL in clear that the certificates do not count there, as etcd does. */
export function warnOfIgnoredTls(
  { logger, config }: { logger: Logger; config: TlsConfig },
  side: Side,
  listenUrls: readonly string[],
): void {
  const scheme = side === '' ? 'http or unix' : 'HTTP';
  for (const url of listenUrls) {
    if (isSecure(url)) continue;
    const fields = side === '' ? { 'client-url': url } : { 'peer-url': url };
    if (isGiven(config) || config.isAuto) {
      logger.warn(
        fields,
        `scheme is ${scheme} while key and cert files are present; ignoring key and cert files`,
      );
    }
    if (config.isClientCertRequired) {
      logger.warn(
        fields,
        `scheme is ${scheme} while --${side}client-cert-auth is enabled; ignoring client cert auth for this URL`,
      );
    }
  }
}

export function isSecure(url: string): boolean {
  const { scheme } = parseUrl(url);
  return scheme === 'https' || scheme === 'unixs';
}

function isGiven({ certFile, keyFile }: TlsConfig): boolean {
  return certFile !== '' || keyFile !== '';
}

function checkPairs(config: TlsConfig): void {
  const { certFile, keyFile, clientCertFile, clientKeyFile } = config;
  if ((certFile === '') !== (keyFile === '')) {
    throw new UsageError(
      `KeyFile and CertFile must both be present[key: ${keyFile}, cert: ${certFile}]`,
    );
  }
  if ((clientCertFile === '') !== (clientKeyFile === '')) {
    throw new UsageError(
      `ClientKeyFile and ClientCertFile must both be present or both absent: key: ${clientKeyFile}, cert: ${clientCertFile}]`,
    );
  }
  const { allowedCommonNames: cns, allowedHostnames: hostnames } = config;
  if (cns.length > 0 && hostnames.length > 0) {
    throw new UsageError(
      `AllowedCNs and AllowedHostnames are mutually exclusive (cns=${quoted(cns)}, hostnames=${quoted(hostnames)})`,
    );
  }
}

/** etcd forgets these flags then, and lets in everybody. */
function checkSelfSigned(config: TlsConfig, side: Side): void {
  const { trustedCaFile, crlFile, isClientCertRequired, allowedHostnames, allowedCommonNames } =
    config;
  const names = [...allowedHostnames, ...allowedCommonNames];
  if (trustedCaFile === '' && crlFile === '' && !isClientCertRequired && names.length === 0) return;
  throw new UsageError(
    `--${side}auto-tls makes certificates that nobody can verify: it excludes --${side}trusted-ca-file,` +
      ` --${side}client-cert-auth, revocation lists and allowed names`,
  );
}

function protocol(values: Values): Pick<TlsConfig, 'ciphers' | 'minVersion' | 'maxVersion'> {
  const minVersion = version(values.get('tls-min-version') ?? '') ?? 'TLSv1.2';
  const maxVersion = version(values.get('tls-max-version') ?? '') ?? 'TLSv1.3';
  if (minVersion > maxVersion) {
    throw new UsageError('min version (TLS1.3) is greater than max version (TLS1.2)');
  }
  const suites = listed(values, 'cipher-suites');
  if (minVersion === 'TLSv1.3' && suites.length > 0) {
    throw new UsageError('cipher suites cannot be configured when only TLS1.3 is enabled');
  }
  try {
    return { ciphers: cipherList(suites), minVersion, maxVersion };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Undefined: not given. */
function version(text: string): TlsVersion | undefined {
  switch (text) {
    case '':
      return undefined;
    case 'TLS1.2':
      return 'TLSv1.2';
    case 'TLS1.3':
      return 'TLSv1.3';
    default:
      throw new UsageError(`unexpected TLS version "${text}" (must be one of: TLS1.2, TLS1.3)`);
  }
}

function listed(values: Values, flag: FlagName): string[] {
  const text = values.get(flag) ?? '';
  return text === '' ? [] : text.split(',').map((item) => item.trim());
}

/** As Go's %q. */
function quoted(texts: readonly string[]): string {
  return `[${texts.map((text) => JSON.stringify(text)).join(' ')}]`;
}
