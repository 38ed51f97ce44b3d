import { latin1 } from '../../../server/base/bytes.ts';
import type { EntryId } from '../../../server/base/ids.ts';
import type { Entry } from '../../../server/raft/entry.ts';
import type { Message } from '../../../server/raft/messages.ts';
import type { Append } from '../../../server/raft/raft.ts';

/** `index/term`. */
export function describeId({ index, term }: EntryId): string {
  return `${index}/${term}`;
}

export function describeEntry(entry: Entry): string {
  const data = latin1(entry.data);
  const kind = entry.kind === 'normal' ? '' : ` ${entry.kind}`;
  return `${describeId(entry)}${kind} "${data.length > 20 ? `${data.length} bytes` : data}"`;
}

export function describeEntries(entries: readonly Entry[]): string {
  return `[${entries.map(describeEntry).join(', ')}]`;
}

export function describeMessage(message: Message): string {
  const { from, to, kind, term } = message;
  return `${from}->${to} ${kind} term=${term}${describeBody(message)}`;
}

function describeBody(message: Message): string {
  switch (message.kind) {
    case 'append': {
      const { previousIndex: index, previousTerm: term, commit, entries } = message;
      return ` prev=${describeId({ index, term })} commit=${commit} ${describeEntries(entries)}`;
    }
    case 'appendResponse': {
      if (!message.reject) return ` index=${message.index}`;
      const hint = describeId({ index: message.hintIndex, term: message.hintTerm });
      return ` rejected prev=${message.index} hint=${hint}`;
    }
    case 'vote':
    case 'preVote': {
      const last = describeId({ index: message.lastIndex, term: message.lastTerm });
      return ` last=${last}${message.transfer ? ' transfer' : ''}`;
    }
    case 'voteResponse':
    case 'preVoteResponse':
      return message.reject ? ' refused' : ' granted';
    case 'snapshot': {
      const { voters, learners } = message.snapshot.confState;
      return ` at=${describeId(message.snapshot)} voters=${voters} learners=${learners}`;
    }
    case 'proposeRefused':
      return ` batch=${describeBatch(message.batchId)}`;
    case 'propose':
      return ` batch=${describeBatch(message.batchId)} ${message.proposals
        .map(({ kind, data }) => `${kind === 'normal' ? '' : `${kind} `}"${latin1(data)}"`)
        .join(', ')}`;
    default: {
      const { from: _from, to: _to, kind: _kind, term: _term, ...rest } = message;
      return Object.entries(rest)
        .map(([name, value]) => ` ${name}=${value}`)
        .join('');
    }
  }
}

/** Batches are numbered from a random start, a multiple of this. */
export function describeBatch(batchId: number): string {
  return `${batchId % 0x10_0000}`;
}

/** What the disk is asked to do and, unless it does so at once, what waits for it. */
export function describeAppend(append: Append, { isDeferred }: { isDeferred: boolean }): string[] {
  const { term, vote } = append.hardState;
  const lines = append.hasNewVote ? [`write term=${term} vote=${vote}`] : [];
  if (append.snapshot !== undefined) lines.push(`install state at ${describeId(append.snapshot)}`);
  if (append.entries.length > 0) lines.push(`write ${describeEntries(append.entries)}`);
  if (!isDeferred) return lines;
  return [...lines, ...append.messages.map((message) => `then send ${describeMessage(message)}`)];
}
