import { type Caller, noCaller } from '../auth/access.ts';
import { isRoot, isWithoutPassword } from '../auth/auth-store.ts';
import type { Passwords } from '../auth/passwords.ts';
import type { Tokens } from '../auth/tokens.ts';
import { latin1 } from '../base/bytes.ts';
import { EtcdError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { CallContext } from './call.ts';
import type { MemberPort } from './member-port.ts';

/** For /metrics. */
export interface AuthCounters {
  /** Wrong passwords and unknown users: mainstay_auth_failed_logins_total. */
  failedLogins: number;
  /** Calls and watches that were refused for want of a right or a good token: mainstay_auth_denials_total. */
  denials: number;
}

export interface AuthenticatorModules {
  readonly port: MemberPort;
  readonly tokens: Tokens;
  readonly passwords: Passwords;
  readonly logger: Logger;
}

export interface AuthenticatorOptions {
  /** `--client-cert-auth`: the common name of a client's certificate is a user's name. */
  readonly clientCertAuth: boolean;
}

/** Finds out who calls: by a token, by the certificate of the connection, or by name and password. */
export class Authenticator {
  readonly counters: AuthCounters = { failedLogins: 0, denials: 0 };
  readonly tokens: Tokens;
  readonly passwords: Passwords;
  readonly #port: MemberPort;
  readonly #logger: Logger;
  readonly #options: AuthenticatorOptions;

  constructor(modules: AuthenticatorModules, options: AuthenticatorOptions) {
    this.tokens = modules.tokens;
    this.passwords = modules.passwords;
    this.#port = modules.port;
    this.#logger = modules.logger;
    this.#options = options;
  }

  /** While authentication is on. {@link noCaller} when the call does not say; throws InvalidAuthToken. */
  identify(context: CallContext): Caller | Promise<Caller> {
    const token = tokenOf(context);
    if (token !== undefined) return this.#callerOf(token);
    return this.#callerByCertificate(context) ?? noCaller;
  }

  /** Whose call it is, as far as that is known at once: for what is refused before anyone has asked. */
  nameOf(context: CallContext): string | undefined {
    const { auth } = this.#port;
    if (!auth.isEnabled) return undefined;
    const token = tokenOf(context);
    const caller =
      token === undefined
        ? this.#callerByCertificate(context)
        : this.tokens.callerOf(token, auth.revision);
    return caller?.username;
  }

  /** Whether it is the call of one who may do everything; `name`: {@link nameOf} it, where that was asked already. */
  isRoot(context: CallContext, name = this.nameOf(context)): boolean {
    if (name === undefined) return false;
    const user = this.#port.auth.user(name);
    return user !== undefined && isRoot(user);
  }

  /** A member that is behind waits for the entry that made the token, which others may have acknowledged. */
  #callerOf(token: string): Caller | Promise<Caller> {
    const madeAt = this.tokens.madeAt(token);
    if (madeAt === undefined) throw new EtcdError('InvalidAuthToken');
    if (madeAt <= this.#port.raftStatus().appliedIndex) return this.#knownCaller(token);
    return this.#port.linearizableRead().then(() => this.#knownCaller(token));
  }

  #knownCaller(token: string): Caller {
    const caller = this.tokens.callerOf(token, this.#port.auth.revision);
    if (caller === undefined) throw new EtcdError('InvalidAuthToken');
    return caller;
  }

  /** Never of a call through the gateway: the connection, and so the certificate, is not the client's (CVE-2018-16886). */
  #callerByCertificate(context: CallContext): Caller | undefined {
    if (!this.#options.clientCertAuth || context.header('grpcgateway-accept') !== undefined) {
      return undefined;
    }
    const { commonName } = context;
    if (commonName === undefined) return undefined;
    return { username: commonName, authRevision: this.#port.auth.revision };
  }

  /**
   * The revision that the password was checked at. A user that is not there costs as much time as a wrong password.
   * Throws AuthNotEnabled, NoPasswordUser, AuthFailed.
   */
  async checkPassword(name: string, password: string): Promise<number> {
    const { auth } = this.#port;
    if (!auth.isEnabled) throw new EtcdError('AuthNotEnabled');
    const user = auth.user(name);
    const { revision } = auth;
    const hash = user === undefined ? '' : latin1(user.password);
    const isRight = await this.passwords.verify(password, hash);
    if (isRight && user !== undefined && !isWithoutPassword(user)) return revision;
    this.counters.failedLogins += 1;
    this.#logger.warn({ user: name }, 'invalid authentication was requested');
    const isNoPassword = user !== undefined && isWithoutPassword(user);
    throw new EtcdError(isNoPassword ? 'NoPasswordUser' : 'AuthFailed');
  }

  /** A refusal for want of a right, or of a good token, is counted. */
  count(error: unknown): void {
    if (!(error instanceof EtcdError)) return;
    switch (error.error) {
      case 'PermissionDenied':
      case 'UserEmpty':
      case 'InvalidAuthToken':
        this.counters.denials += 1;
        break;
      default:
    }
  }
}

function tokenOf(context: CallContext): string | undefined {
  const token = context.header('token') ?? context.header('authorization');
  return token === undefined ? undefined : firstOf(token).replace(/^Bearer /, '');
}

/** python-etcd3 sends its token twice; a header that comes twice may come as one, joined by commas. No token has one. */
function firstOf(values: string): string {
  return values.split(',', 1)[0] ?? '';
}
