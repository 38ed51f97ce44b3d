import { operatorUser } from '../resources/certificates.ts';
import { type Rule, stopUntil } from './decision.ts';

/** The members answer, and keep the operator out: without being known there nothing can be asked of them. */
export const accessRefused: Rule = ({ observation: { accessRefused, spec } }) => {
  if (accessRefused === undefined) return undefined;
  const way =
    spec.auth === undefined
      ? 'authentication is on there: declare it in spec.auth, with the password that the user root has in the store'
      : `it knows neither the user ${operatorUser} nor the password of root in the Secret ${spec.auth.rootPassword.name}: ` +
        'put the password that the user root has in the store into that Secret';
  return stopUntil('AccessRefused', `The store refuses the operator (${accessRefused}); ${way}.`);
};
