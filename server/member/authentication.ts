import { readFileSync } from 'node:fs';
import { Authenticator } from '../api/authenticator.ts';
import type { MemberPort } from '../api/member-port.ts';
import { isSignMethod, JwtTokens } from '../auth/jwt-tokens.ts';
import { PasswordThread } from '../auth/passwords.ts';
import { SimpleTokens } from '../auth/simple-tokens.ts';
import { noTokens, TokenError, type Tokens } from '../auth/tokens.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/logger.ts';
import type { Random } from '../base/random.ts';
import type { Config } from '../config/config.ts';
import { UsageError } from '../config/flags.ts';
import {
  authTokenTtlDefault,
  bcryptCostDefault,
  bcryptCostMax,
  bcryptCostMin,
  passwordMsMax,
  passwordsWaitingMax,
  simpleTokensMax,
} from '../config/limits.ts';
import type { TlsConfig } from '../config/tls.ts';

export type AuthenticationConfig = Pick<Config, 'authToken' | 'authTokenTtlMs' | 'bcryptCost'> & {
  readonly clientTls: Pick<TlsConfig, 'isClientCertRequired'>;
};

interface Modules {
  readonly port: MemberPort;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Who tells users apart on this member. Throws UsageError when the keys of its tokens are not there or of no use. */
export function authenticatorOf(modules: Modules, config: AuthenticationConfig): Authenticator {
  const { port, clock, logger } = modules;
  const tokens = tokensOf(modules, config);
  const passwords = new PasswordThread(
    { clock },
    {
      cost: checkedCost(config.bcryptCost, logger),
      waitingMax: passwordsWaitingMax,
      taskMsMax: passwordMsMax,
    },
  );
  return new Authenticator(
    { port, tokens, passwords, logger },
    { clientCertAuth: config.clientTls.isClientCertRequired },
  );
}

function tokensOf({ port, clock, random }: Modules, config: AuthenticationConfig): Tokens {
  const { authToken } = config;
  switch (authToken.kind) {
    case 'none':
      return noTokens;
    case 'simple': {
      const ttlMs = config.authTokenTtlMs || 1_000 * authTokenTtlDefault;
      const tokens = new SimpleTokens({ clock, random }, { ttlMs, tokensMax: simpleTokensMax });
      port.auth.observe(tokens);
      return tokens;
    }
    case 'jwt': {
      const { signMethod, ttlMs } = authToken;
      if (!isSignMethod(signMethod)) {
        throw new UsageError(`--auth-token: unknown sign-method "${signMethod}"`);
      }
      const publicKey = readKey(authToken.publicKeyFile);
      const privateKey = readKey(authToken.privateKeyFile);
      try {
        return new JwtTokens({ clock }, { signMethod, publicKey, privateKey, ttlMs });
      } catch (error) {
        if (error instanceof TokenError) throw new UsageError(`--auth-token: ${error.message}`);
        throw error;
      }
    }
  }
}

function readKey(file: string | undefined): Uint8Array | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    throw new UsageError(`--auth-token: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function checkedCost(cost: number, logger: Logger): number {
  if (cost >= bcryptCostMin && cost <= bcryptCostMax) return cost;
  const fields = { 'given-cost': cost, 'default-cost': bcryptCostDefault };
  logger.warn(fields, 'use default bcrypt cost instead of the invalid given cost');
  return bcryptCostDefault;
}
