/** A known bug, as a change of the compiled store. Each text must be found exactly once, or the list is out of date. */
export interface Mutant {
  readonly name: string;
  /** Where the world met this bug, or which rule it breaks. */
  readonly origin: string;
  readonly edits: readonly Edit[];
}

export interface Edit {
  /** Under dist/server/. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** Bugs that somebody shipped, or that a rule of the Raft paper forbids: the simulator must find every one of them. */
export const mutants: readonly Mutant[] = [
  {
    name: 'vote-not-persisted',
    origin: 'Raft paper, figure 2: votedFor is persistent state',
    edits: [
      {
        file: 'wal/wal.js',
        find: 'this.#hardState = append.hardState;',
        replace: 'this.#hardState = { ...append.hardState, vote: 0n };',
      },
    ],
  },
  {
    name: 'vote-twice-per-term',
    origin: 'Raft paper §5.2: at most one vote per term',
    edits: [
      {
        file: 'raft/follower.js',
        find: 'const isFree = state.vote === message.from || (state.vote === 0n && state.leader === 0n);',
        replace: 'const isFree = true;',
      },
    ],
  },
  {
    name: 'vote-for-a-shorter-log',
    origin: 'Raft paper §5.4.1: election restriction',
    edits: [
      {
        file: 'raft/follower.js',
        find: 'const granted = mayGrant && state.isUpToDate(last);',
        replace: 'const granted = mayGrant;',
      },
    ],
  },
  {
    name: 'commit-by-count-in-an-old-term',
    origin: 'Raft paper §5.4.2, figure 8',
    edits: [
      {
        file: 'raft/leader.js',
        find: 'if (index <= log.commit || log.term(index) !== state.term)',
        replace: 'if (index <= log.commit)',
      },
    ],
  },
  {
    name: 'acknowledged-before-sync',
    origin: 'etcd #14370: applied and answered before the log was durable',
    edits: [
      {
        file: 'wal/wal.js',
        find: 'file.datasync(synced);',
        replace: 'synced(null); file.datasync(() => {});',
      },
    ],
  },
  {
    name: 'acknowledged-before-write',
    origin: 'etcd #14370, one member: commit raced with persistence',
    edits: [
      {
        file: 'member/replica.js',
        find: 'this.#wal.append({ hardState, entries }, () => this.#appended(this.#appends.shift() ?? []));',
        replace:
          'this.#wal.append({ hardState, entries }, () => {}); this.#ports.defer(() => this.#appended(this.#appends.shift() ?? []));',
      },
    ],
  },
  {
    name: 'never-synced',
    origin: 'Jepsen NATS 2.12.1: fsync every two minutes lost 14% of what was acknowledged',
    edits: [
      {
        file: 'wal/wal.js',
        find: 'file.datasync(synced);',
        replace: 'synced(null);',
      },
    ],
  },
  {
    name: 'leader-counts-itself-before-sync',
    origin: 'Raft thesis §10.2.1: the leader counts itself once its own write is durable',
    edits: [
      {
        file: 'raft/leader.js',
        find: 'voter === state.id ? log.stable',
        replace: 'voter === state.id ? log.lastIndex',
      },
      {
        file: 'raft/log.js',
        find: 'const to = Math.min(this.#commit, this.#stable);',
        replace: 'const to = this.#commit;',
      },
      {
        file: 'raft/log.js',
        find: 'index <= Math.min(this.#commit, this.#stable)',
        replace: 'index <= this.#commit',
      },
    ],
  },
  {
    name: 'page-cache-taken-for-the-disk',
    origin: 'fsyncgate (ATC 2020): what is read after a restart may not be durable',
    edits: [
      {
        file: 'wal/wal.js',
        find: 'writeFileDurably(fileSystem, directory, { name: tail.name.file, bytes',
        replace:
          '((_fileSystem, _directory, _file) => {})(fileSystem, directory, { name: tail.name.file, bytes',
      },
    ],
  },
  {
    name: 'file-published-before-its-content',
    origin: 'ALICE (OSDI 2014): rename without fsync of the file',
    edits: [{ file: 'wal/segment.js', find: 'written.datasyncSync();', replace: '' }],
  },
  {
    name: 'directory-not-synced-after-rename',
    origin: 'etcd #22340: snapshot renamed without a directory fsync',
    edits: [{ file: 'wal/segment.js', find: 'fileSystem.syncDirectory(directory);', replace: '' }],
  },
  {
    name: 'directory-not-synced-after-cut',
    origin: 'etcd #22340, for a new log segment',
    edits: [
      {
        file: 'wal/wal.js',
        find: 'this.#write(head, () => fileSystem.syncDirectoryAsync(directory, finish));',
        replace: 'this.#write(head, () => finish(null));',
      },
    ],
  },
  {
    name: 'torn-tail-over-truncated',
    origin: 'CTRL (FAST 2018): truncating at a torn tail may cut acknowledged entries',
    edits: [
      {
        file: 'wal/replay.js',
        find: 'runs: this.#runs,',
        replace:
          'runs: this.#suspect === undefined ? this.#runs : this.#runs.map((run) => ({ ...run, entries: run.entries.slice(0, -1) })),',
      },
    ],
  },
  {
    name: 'log-checksum-not-checked',
    origin: 'CORDS (FAST 2017): damage taken for data',
    edits: [
      {
        file: 'wal/frame.js',
        find: 'if (crc32c(body, seed) !== buffer.readUInt32LE(offset + 8))',
        replace: 'if (false)',
      },
    ],
  },
  {
    name: 'applied-index-outside-the-batch',
    origin: 'etcd 3.5.0, #13766: applied index saved apart from its effects',
    edits: [
      {
        file: 'backend/backend.js',
        find: 'this.#marker = nextMarker(this.#marker, { ops, ...closing });',
        replace:
          'this.#marker = nextMarker(this.#marker, { ops, ...closing, applied: this.#durableApplied });',
      },
    ],
  },
  {
    name: 'failed-entry-does-not-advance-the-applied-index',
    origin: 'etcd #13937: an entry refused at apply did not move the applied index',
    edits: [
      {
        file: 'apply/applier.js',
        find: 'backend.setApplied({ index: entry.index, term: entry.term });\n        const cost',
        replace:
          'if (answer.error === undefined) backend.setApplied({ index: entry.index, term: entry.term });\n        const cost',
      },
    ],
  },
  {
    name: 'read-index-before-own-term-commit',
    origin: 'etcd #7331; Raft paper §8',
    edits: [
      {
        file: 'raft/leader.js',
        find: 'if (!hasCommittedInTerm(state)) {',
        replace: 'if (false) {',
      },
    ],
  },
  {
    name: 'read-without-a-quorum',
    origin: 'Raft thesis §6.4: a deposed leader answers from its old state',
    edits: [
      {
        file: 'raft/leader.js',
        find: 'else if (state.isSoleVoter) {',
        replace: 'else if (true) {',
      },
    ],
  },
  {
    name: 'read-answered-before-apply',
    origin: 'Raft thesis §6.4, step 4: wait until the read index is applied',
    edits: [
      {
        file: 'propose/read-barrier.js',
        find: 'while ((this.#waiting[0]?.index ?? Infinity) <= index) {',
        replace: 'while (this.#waiting.length > 0) {',
      },
    ],
  },
  {
    name: 'two-pending-membership-changes',
    origin: 'Raft thesis §4.1; Ongaro, raft-dev 2015',
    edits: [
      {
        file: 'raft/leader.js',
        find: 'if (isPending || !hasCommittedInTerm(state))',
        replace: 'if (false)',
      },
    ],
  },
  {
    name: 'learner-counted',
    origin: 'Raft thesis §4.2.1: a non-voting member does not count',
    edits: [
      {
        file: 'raft/quorum.js',
        find: 'const matches = conf.voters.map(matchOf)',
        replace: 'const matches = [...conf.voters, ...conf.learners].map(matchOf)',
      },
      {
        file: 'raft/quorum.js',
        find: 'for (const voter of conf.voters)\n        if (holds(voter))',
        replace:
          'for (const voter of [...conf.voters, ...conf.learners])\n        if (holds(voter))',
      },
    ],
  },
  {
    name: 'late-append-shortens-the-log',
    origin: 'Raft paper §5.3: only a conflict truncates; a late duplicate must not',
    edits: [
      {
        file: 'raft/log.js',
        find: 'if (this.matches(entry))\n                continue;',
        replace: 'if (entry.index <= this.#commit) continue;',
      },
    ],
  },
  {
    name: 'append-truncates-committed-entries',
    origin: 'etcd raft: an append below the commit index must be left alone',
    edits: [
      {
        file: 'raft/follower.js',
        find: 'if (message.previousIndex < log.commit) {',
        replace: 'if (false) {',
      },
      {
        file: 'raft/log.js',
        find: 'if (this.matches(entry))\n                continue;',
        replace: '',
      },
    ],
  },
  {
    name: 'snapshot-without-log-reset',
    origin: 'a snapshot replaces the log: the old entries must not come back',
    edits: [
      {
        file: 'member/replica.js',
        find: 'this.#wal.append({ hardState, entries, reset: snapshot },',
        replace: 'this.#wal.append({ hardState, entries },',
      },
    ],
  },
  {
    name: 'proposal-sent-twice',
    origin: 'etcd #14890, Jepsen jetcd: a retry of what may still be committed',
    edits: [
      {
        file: 'propose/proposer.js',
        find: 'if (waiter.sentTerm !== undefined && waiter.sentTerm < term)',
        replace: 'if (waiter.sentTerm !== undefined)',
      },
    ],
  },
  {
    name: 'lease-not-extended-on-promotion',
    origin: 'a new leader does not know when a lease was renewed: it must grant the full TTL again',
    edits: [
      {
        file: 'lease/lessor.js',
        find: 'lease.deadlineMs = nowMs + extendMs + (lease.remainingTtl || lease.ttl) * 1000;',
        replace: 'lease.deadlineMs = Math.min(nowMs + 500, lease.deadlineMs || nowMs + 500);',
      },
    ],
  },
  {
    name: 'watch-repeats-a-revision',
    origin: 'etcd #17247, #15271: an event again after the watcher fell behind',
    edits: [
      {
        file: 'watch/watch-hub.js',
        find: 'watcher.cursor = last + 1;',
        replace:
          'watcher.cursor = last + 1; if (watcher.cursor > this.#revision && events.length > 0) watcher.stream.deliver(watcher, events, last);',
      },
    ],
  },
  {
    name: 'read-index-id-reused',
    origin: 'etcd #20418 (2025): a retried ReadIndex kept its id',
    edits: [{ file: 'propose/read-barrier.js', find: 'this.#lastRequestId += 1;', replace: '' }],
  },
  {
    name: 'stale-leader-revokes-leases',
    origin: 'etcd #12528, #15247: an expiry seen by a deposed leader',
    edits: [
      {
        file: 'apply/applier.js',
        find: 'const isStale = request.term !== 0 && request.term !== term;',
        replace: 'const isStale = false;',
      },
      {
        file: 'member/replica.js',
        find: 'else if (!leads && lessor.isPrimary)',
        replace: 'else if (false)',
      },
    ],
  },
  {
    name: 'log-released-too-early',
    origin: 'etcd #13766: the state on disk is behind what the log may forget',
    edits: [
      {
        file: 'member/replica.js',
        find: 'const durable = backend.durableApplied.index;',
        replace: 'const durable = backend.applied.index;',
      },
    ],
  },
  {
    name: 'alarm-forgotten-on-restart',
    origin: 'etcd: alarms are replicated state, kept until they are disarmed',
    edits: [
      {
        file: 'apply/alarms.js',
        find: 'this.#raised = this.#restoring;',
        replace: 'this.#raised = new Map();',
      },
    ],
  },
  {
    name: 'alarm-does-not-guard-transactions',
    origin: "etcd's capped applier refuses a transaction with a put in it",
    edits: [
      {
        file: 'apply/guard.js',
        find: "case 'txn':\n            return hasPut(request.value);",
        replace: "case 'txn':\n            return false;",
      },
    ],
  },
  {
    name: 'compaction-erases-the-version-it-compacts-to',
    origin: 'etcd #18089: what the compacted revision itself sees stays readable',
    edits: [
      {
        file: 'mvcc/key-entry.js',
        find: 'this.main <= compactRevision ? older.length : lastAtOrBelow(older, compactRevision);',
        replace:
          'this.main <= compactRevision ? older.length : lastAtOrBelow(older, compactRevision) + 2;',
      },
    ],
  },
  {
    name: 'put-does-not-detach-the-lease',
    origin: 'a key put without a lease outlives the one that it had',
    edits: [
      {
        file: 'apply/write.js',
        find: 'if (lease === 0n)\n        lessor.detach(key);\n    else',
        replace: 'if (lease !== 0n)',
      },
    ],
  },
  {
    name: 'lease-forgets-its-keys-on-restart',
    origin: 'etcd TestV3LeaseRecoverKeyWithMultipleLease: attachments survive a restart',
    edits: [
      {
        file: 'member/state.js',
        find: 'this.lessor.attachAll(this.store.takeRestoredLeases());',
        replace: 'this.store.takeRestoredLeases();',
      },
    ],
  },
  {
    name: 'expired-lease-renewed',
    origin: 'etcd lessor.Renew: a lease whose revocation is on its way is lost',
    edits: [
      {
        file: 'lease/lessor.js',
        find: "if (lease.deadlineMs <= this.#clock.nowMs())\n            return { kind: 'expired' };",
        replace: '',
      },
    ],
  },
  {
    name: 'compacted-revision-forgotten-on-restart',
    origin: 'etcd mvcc restore: reads below the compacted revision stay refused',
    edits: [
      {
        file: 'mvcc/store.js',
        find: 'this.#compactRevision = restored.compactRevision;',
        replace: 'this.#compactRevision = -1;',
      },
    ],
  },
  {
    name: 'flipped-bit-taken-for-a-torn-write',
    origin: 'CTRL (FAST 2018): what was acknowledged is cut off with a torn tail',
    edits: [{ file: 'wal/replay.js', find: 'this.#judgeTail();', replace: '' }],
  },
  {
    name: 'slow-watcher-loses-the-revision-it-fell-behind-at',
    origin: 'etcd #18667: an event lost between the synced and the unsynced watchers',
    edits: [
      {
        file: 'watch/watch-hub.js',
        find: 'if (watcher.stream.isFull)\n                this.#fallBehind(watcher, revision);',
        replace:
          'if (watcher.stream.isFull)\n                this.#fallBehind(watcher, revision + 1);',
      },
    ],
  },
  {
    name: 'progress-ahead-of-events',
    origin: 'etcd #15220: progress told to a watcher that had not been given everything',
    edits: [
      {
        file: 'watch/watch-stream.js',
        find: "return watcher.state === 'live' && watcher.startRevision <= this.#hub.revision;",
        replace: 'return true;',
      },
    ],
  },
  {
    name: 'previous-value-is-the-new-one',
    origin: 'etcd #17247: prev_kv of the wrong revision',
    edits: [
      {
        file: 'mvcc/store.js',
        find: 'this.#versions.readAt(entry, revision - 1);',
        replace: 'this.#versions.readAt(entry, revision);',
      },
    ],
  },
  {
    name: 'watch-jumps-over-an-installed-snapshot',
    origin: 'etcd TestV3WatchRestoreSnapshotUnsync: live watchers skipped what a snapshot brought',
    edits: [
      {
        file: 'watch/watch-hub.js',
        find: 'if (isPassed)\n                    this.#fallBehind(watcher, cursor);',
        replace: '',
      },
    ],
  },
  {
    name: 'staleness-counted-from-the-answer',
    origin:
      'a barrier proves what was there when it was asked for: what came meanwhile may be missing',
    edits: [
      {
        file: 'member/freshness.js',
        find: 'this.#provenMs = Math.max(this.#provenMs, startedMs);',
        replace: 'this.#provenMs = clock.nowMs();',
      },
    ],
  },
  {
    name: 'staleness-counted-from-heartbeats',
    origin: 'a heartbeat proves no age: its sender may be deposed, and entries may be on their way',
    edits: [
      {
        file: 'member/local-member.js',
        find: 'barrier: () => this.linearizableRead(),',
        replace:
          'barrier: () => this.#replica.raft.leader === 0n ? Promise.reject(new Error()) : Promise.resolve(),',
      },
    ],
  },
  {
    name: 'users-lost-with-the-process',
    origin: 'etcd #14571: users and roles not taken over from a state that is opened or installed',
    edits: [{ file: 'auth/auth-store.js', find: 'this.#state = this.#restoring;', replace: '' }],
  },
  {
    name: 'revision-of-users-not-written',
    origin: 'etcd #11651: the revision of users fell back at a restart, and members diverged',
    edits: [
      {
        file: 'auth/auth-store.js',
        find: 'this.#backend.put(revisionKey, encodeRevision(this.#state.revision));',
        replace: '',
      },
    ],
  },
  {
    name: 'rights-remembered-when-they-change',
    origin: 'etcd TestAuthTestCacheReload: merged permissions kept beyond a change of theirs',
    edits: [
      {
        file: 'auth/auth-store.js',
        find: 'this.#state.revision += 1;\n        this.#coverages.clear();',
        replace: 'this.#state.revision += 1;',
      },
    ],
  },
  {
    name: 'rights-not-checked-where-applied',
    origin:
      'etcd server/etcdserver/apply/auth.go: only the entry’s place in the log says which rights count',
    edits: [
      {
        file: 'apply/applier.js',
        find: 'checkKeys(this.#access, caller, request);',
        replace: ';',
      },
    ],
  },
];
