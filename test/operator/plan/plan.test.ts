import type { Action } from '../../../operator/plan/action.ts';
import { type Plan, plan } from '../../../operator/plan/plan.ts';
import { goldenTests } from '../support/golden.ts';
import { parseObservation } from '../support/notation.ts';

goldenTests('test/operator/plan/testdata', (input) => describe(plan(parseObservation(input))));

function describe(decided: Plan): string[] {
  const since = decided.since.slice(11, 16);
  switch (decided.kind) {
    case 'idle':
      return ['idle'];
    case 'wait': {
      const until =
        decided.deadline === undefined ? '' : ` until ${decided.deadline.slice(11, 16)}`;
      return [`wait ${decided.reason} since ${since}${until}`, `  ${decided.message}`];
    }
    case 'act':
      return [`act ${describeAction(decided.action)}`, `  ${decided.reason}: ${decided.message}`];
  }
}

function describeAction(action: Action): string {
  switch (action.kind) {
    case 'apply':
      return `apply ${action.object.kind} ${action.object.metadata.name}`;
    case 'recordStatus':
      return `recordStatus ${JSON.stringify(action.fields, (_key, value) => value ?? null)}`;
    case 'createPod': {
      const flags = action.pod.spec.containers[0]?.args ?? [];
      // Of a restore and of a mirror, all that they are told.
      const isTool = flags[0] === 'restore' || action.pod.spec.containers[0]?.name === 'mirror';
      const kept = flags.filter((flag) => isTool || flag.startsWith('--initial-cluster'));
      return [`createPod ${action.pod.metadata.name}`, ...kept].join('\n').replaceAll('\n', ' ');
    }
    case 'createBackup':
      return `createBackup ${action.backup.metadata.name}`;
    case 'labelPod':
      return `labelPod ${action.pod.metadata.name} ${action.role}`;
    case 'deletePod':
      return `deletePod ${action.pod.metadata.name}`;
    case 'createVolume':
    case 'deleteVolume':
      return `${action.kind} ${action.volume.metadata.name}`;
    case 'recordMemberId':
      return `recordMemberId ${action.volume.metadata.name} ${action.id}`;
    case 'addLearner':
    case 'addObserver':
      return `${action.kind} ${action.member} ${action.peerUrl}`;
    case 'promoteLearner':
    case 'removeMember':
      return `${action.kind} ${action.member} ${action.id}`;
    case 'moveLeader':
      return `moveLeader to ${action.target} ${action.targetId}`;
    case 'compact':
      return `compact ${action.revision}`;
    case 'defragment':
      return `defragment ${action.member}`;
    case 'disarm':
      return `disarm ${action.alarm.kind} ${action.alarm.memberId}`;
    case 'remove':
      return `remove ${action.object.kind} ${action.object.metadata.name}`;
    case 'growVolume':
      return `growVolume ${action.volume.metadata.name} ${action.size}`;
    case 'adoptVolume':
      return `adoptVolume ${action.volume.metadata.name}`;
    case 'markRecovered':
      return `markRecovered ${action.volume.metadata.name} ${action.isRecovered}`;
    case 'makeAuthority':
      return `makeAuthority ${action.side}`;
    case 'changeAuthority':
      return `changeAuthority ${action.side} ${action.step}`;
    case 'issueCertificate':
      return `issueCertificate ${action.request.secret} CN=${action.request.commonName}`;
    case 'writeSecret': {
      const { name, texts, copies, passwords } = action.content;
      const copied = copies.map(({ from, key, to }) => `${to}<-${from}/${key}`);
      const made = passwords.map((key) => `${key}<-random`);
      return ['writeSecret', name, ...Object.keys(texts), ...copied, ...made].join(' ');
    }
    case 'deleteSecret':
      return `deleteSecret ${action.seen.name}`;
    case 'recordApplied':
      return `recordApplied ${JSON.stringify(action.applied)}`;
    case 'changeAuth':
      return `changeAuth ${JSON.stringify(action.change)}`;
    case 'parkVolume':
      return `parkVolume ${action.volume.metadata.name}`;
    case 'markRestored':
      return `markRestored ${action.volume.metadata.name} ${action.id}`;
    case 'addFinalizer':
    case 'removeFinalizer':
      return action.kind;
  }
}
