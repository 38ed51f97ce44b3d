import type { Edit, Mutant } from '../../sim/mutants.ts';

// Bugs that operators were shipped with, or that a rule of ours forbids, as changes of the compiled operator. Each text
// must be found exactly once, or the list is out of date. The simulation must find every one of them.

function mutant(name: string, origin: string, ...edits: readonly Edit[]): Mutant {
  return { name, origin, edits };
}

/** `file` is under dist/operator/. */
function edit(file: string, find: string, replace: string): Edit {
  return { file, find, replace };
}

export const operatorMutants: readonly Mutant[] = [
  mutant(
    'name-instead-of-uid',
    "Sieve (OSDI '22): the volume of a new cluster deleted because an old one of its name was being deleted",
    edit(
      'resources/labels.js',
      'return child.metadata.labels?.[clusterUidLabel] === uidOf(cluster);',
      'return child.metadata.labels?.[clusterLabel] === cluster.metadata.name;',
    ),
  ),
  mutant(
    'deletes-what-is-there-now',
    'OpenSearch operator #1471: a cached read before a delete, which then meets another object',
    edit(
      'act/act.js',
      "const { uid = '', resourceVersion = '' } = metadata;",
      "const [uid, resourceVersion] = ['', metadata.uid === undefined ? '0' : ''];",
    ),
  ),
  mutant(
    'reservation-not-recorded',
    'Scylla operator #2492: no expectation of what was just made; a stale cache makes a duplicate',
    edit(
      'plan/joining.js',
      'const name = cluster.status?.joining;',
      'const name = memberName(cluster, 1 + Math.max(0, ...view.members.map((each) => each.serial)));',
    ),
  ),
  mutant(
    'adds-a-voter',
    'etcd: a member that is added as a voter can take the quorum away before it has data',
    edit(
      'act/act.js',
      'return store.memberAddLearner(endpoints, action.peerUrl);',
      'return store.memberAdd(endpoints, action.peerUrl);',
    ),
  ),
  mutant(
    'volume-before-member',
    'reliability: the volume goes before its member has left Raft',
    edit(
      'plan/quorum.js',
      "return act('MemberRemoved'",
      "if (member.volume !== undefined && member.volume.metadata.deletionTimestamp === undefined)\n        return act('VolumeDeleted', why, { kind: 'deleteVolume', volume: member.volume });\n    return act('MemberRemoved'",
    ),
  ),
  mutant(
    'bootstraps-on-an-empty-list',
    'etcd-operator: no pod is seen, so a new cluster is started',
    edit(
      'plan/bootstrap.js',
      'if (cluster.status?.clusterID !== undefined || existed || view.answered)',
      'if (view.members.some((member) => member.pod !== undefined))',
    ),
    edit('plan/bootstrap.js', 'if (members.length > 0) {', 'if (false) {'),
  ),
  mutant(
    'changes-before-the-backup',
    'reliability: an upgrade that cannot be taken back, with no backup of before',
    edit('plan/plan.js', '    backupFirst,\n', ''),
  ),
  mutant(
    'cut-over-unproven',
    'reliability: a store is said to be on its own as soon as somebody wants it so',
    edit(
      'plan/mirror.js',
      "if (work.cutOver?.status?.phase === 'Succeeded')\n        return finish(view.observation, work);",
      'if (source.cutOver === true)\n        return finish(view.observation, work);',
    ),
  ),
  mutant(
    'cut-over-while-the-mirror-runs',
    'reliability: a mirror that still runs writes into a store that is on its own',
    edit('plan/mirror.js', 'if (follower !== undefined)\n        return leave(follower);', ''),
  ),
  mutant(
    'two-restarts-at-once',
    'etcd-druid DEP-07: a rolling update that does not wait',
    edit('plan/plan.js', '    settle,\n    endBootstrap,', '    endBootstrap,'),
  ),
  mutant(
    'finalizer-dropped-early',
    'the finalizer goes while the pods are still stopping',
    edit('plan/deletion.js', 'if (pods.length > 0) {', 'if (false) {'),
  ),
  mutant(
    'volumes-forgotten-with-delete',
    'the finalizer goes before the volumes that Delete takes along',
    edit('plan/deletion.js', "if (spec.deletionPolicy === 'Delete') {", 'if (false) {'),
  ),
  mutant(
    'retain-not-kept',
    'a deletion that takes the data along though nobody asked for it',
    edit('plan/deletion.js', "if (spec.deletionPolicy === 'Delete') {", 'if (true) {'),
  ),
  mutant(
    'leader-rolled-first',
    'etcd-druid DEP-07: each change of a follower then costs an election',
    edit(
      'plan/roll.js',
      'return Number(a.isLeader) - Number(b.isLeader) || a.serial - b.serial;',
      'return Number(b.isLeader) - Number(a.isLeader) || a.serial - b.serial;',
    ),
  ),
  mutant(
    'leader-not-moved',
    'the leader is stopped without handing over',
    edit(
      'plan/roll.js',
      'const handover = next.isLeader ?',
      'const handover = next.isLeader && false ?',
    ),
  ),
  mutant(
    'leader-removed',
    'the leader is removed without handing over',
    edit(
      'plan/quorum.js',
      'const handover = member.isLeader ?',
      'const handover = member.isLeader && false ?',
    ),
  ),
  mutant(
    'rolls-who-lags',
    'the next one is changed before the last one has caught up',
    edit('plan/roll.js', 'if (behind !== undefined) {', 'if (false) {'),
  ),
  mutant(
    'recovery-without-the-uid',
    'a spec that is applied to another cluster recovers that one too',
    edit(
      'plan/recover-quorum.js',
      'if (spec.recovery?.clusterUID !== cluster.metadata.uid) {',
      'if (false) {',
    ),
  ),
  mutant(
    'recovery-twice',
    'words that were meant once force the store again at its next loss',
    edit('plan/recover-quorum.js', 'if (recovered !== undefined)', 'if (false)'),
  ),
  mutant(
    'recovery-without-a-copy',
    'what cannot be undone is done before the volume was copied',
    edit(
      'plan/recover-quorum.js',
      'return copy(view, survivor, copying) ?? start(view, survivor, volume);',
      'return start(view, survivor, volume);',
    ),
  ),
  mutant(
    'recovery-beside-others',
    'the survivor is started while the others still run',
    edit('plan/recover-quorum.js', 'if (running !== undefined) {', 'if (false) {'),
    edit(
      'plan/recover-quorum.js',
      'if (others.length > 0)',
      'if (others.some((pod) => pod.metadata.name === survivor.name))',
    ),
  ),
  mutant(
    'growth-blocks-everything',
    'a storage class that refuses to grow holds up repair',
    edit(
      'plan/grow-volumes.js',
      'if (refused?.size === size && elapsedMs < askAgainAfterMs)',
      'if (false)',
    ),
  ),
  mutant(
    'pods-upserted',
    'an upsert resurrects, or overwrites, what was not seen',
    edit(
      'act/act.js',
      "await kube.create(collectionPath('Pod', namespace), action.pod);",
      "await kube.apply(podPath(action.pod), asSeen(action.pod, { name: '', resourceVersion: '' }));",
    ),
  ),
  mutant(
    'volumes-upserted',
    'an upsert of a volume takes over one that is not ours',
    edit(
      'act/act.js',
      "await kube.create(collectionPath('PersistentVolumeClaim', namespace), action.volume);",
      "await kube.apply(volumePath(action.volume), asSeen(action.volume, { name: '', resourceVersion: '' }));",
    ),
  ),
  mutant(
    'budget-after-the-change',
    'cozystack #351: evictions between the change and the new floor',
    edit('plan/plan.js', '    budget,\n    moveLeaderOffDrain,', '    moveLeaderOffDrain,'),
    edit('plan/plan.js', '    removalLeftovers,\n', '    budget,\n    removalLeftovers,\n'),
  ),
  mutant(
    'budget-of-the-wanted',
    'with surge there is one voter more than wanted; the floor must count it before',
    edit('plan/budget.js', 'const target = membersMax', 'const target = spec.replicas'),
  ),
  mutant(
    'surge-removes-first',
    'the old member leaves before the new one has been promoted',
    edit(
      'plan/roll.js',
      'if (joinedMembers(view).length <= view.observation.spec.replicas)',
      'if (false)',
    ),
    edit('plan/plan.js', '    scaleUp,\n    roll,', '    roll,\n    scaleUp,'),
  ),
  mutant(
    'lead-moves-to-a-cordoned-node',
    'a drain of the next node moves the lead again, or evicts it',
    edit(
      'plan/quorum.js',
      '2 * Number(isCordoned(view, member)) + Number(member.isOutdated)',
      'Number(member.isOutdated) - Number(isCordoned(view, member))',
    ),
  ),
  mutant(
    'disarmed-before-there-is-room',
    'writes are let in, and the alarm is back at once',
    edit(
      'plan/free-space.js',
      'return joinedMembers(view).every((member) => isRoomyOn(view, member));',
      'return true;',
    ),
  ),
  mutant(
    'leader-frees-its-space-first',
    'defragmenting the leader holds up everybody, while a follower would have done',
    edit(
      'plan/free-space.js',
      'return Number(a.isLeader) - Number(b.isLeader) || a.serial - b.serial;',
      'return Number(b.isLeader) - Number(a.isLeader) || a.serial - b.serial;',
    ),
  ),
  mutant(
    'stale-member-list',
    'cozystack #352: a member joins with the members of an earlier moment, refuses to start and is left so',
    edit(
      'plan/restart.js',
      'return endedPod(member) ?? staleLearner(view, member);',
      'return endedPod(member);',
    ),
  ),
  mutant(
    'silence-taken-for-absence',
    'who cannot be asked is taken for gone',
    edit(
      'plan/finish-removal.js',
      "if (store.kind === 'silent')\n        return false;",
      "if (store.kind === 'silent')\n        return recordedId !== undefined;",
    ),
    edit(
      'plan/plan.js',
      '    rollBroken,\n    bootstrap,',
      '    finishRemoval,\n    rollBroken,\n    bootstrap,',
    ),
  ),
  mutant(
    'names-used-again',
    'etcd-druid, backup-restore #1058: a removed member comes back under its name',
    edit(
      'plan/joining.js',
      'fields: { nextSerial: serial + 1, joining: name },',
      'fields: { nextSerial: serial, joining: name },',
    ),
    edit('plan/serials.js', 'if ((cluster.status?.nextSerial ?? 1) > highest)', 'if (true)'),
  ),
  mutant(
    'removes-without-asking-for-a-quorum',
    'a lost member is removed while another is down',
    edit(
      'plan/replace-lost.js',
      'if (loss !== undefined && mayLeave(view, member))',
      'if (loss !== undefined)',
    ),
  ),
  mutant(
    'healthy-leave-first',
    'scaling down removes a healthy member and keeps the sick one',
    edit(
      'plan/scale-down.js',
      'return member.isHealthy ? 2 : 1;',
      'return member.isHealthy ? 1 : 2;',
    ),
  ),
  mutant(
    'broken-first-pod-never-replaced',
    'a bad first edit cannot be reverted',
    edit('plan/plan.js', '    rollBroken,\n', ''),
  ),
  mutant(
    'first-pod-begins-again',
    'found by this simulation: the first pod, left as it was, begins a second store on an emptied volume',
    edit('plan/plan.js', '    endBootstrap,\n', ''),
  ),
  mutant(
    'name-recorded-before-it-runs',
    'found by this simulation: taking a bad image out of the spec keeps it',
    edit(
      'status/status.js',
      "return !isNamed || plan.kind === 'idle' ? spec.image : cluster.status?.image;",
      'return spec.image;',
    ),
  ),
  mutant(
    'adopts-by-name',
    'a store that is created again takes the volumes of another without being told to',
    edit(
      'plan/foreign-children.js',
      'if (volumes.length > 0 && !owners.has(spec.adoptFrom)) {',
      'if (false) {',
    ),
    edit('plan/foreign-children.js', 'ownerOf(volume) === spec.adoptFrom', 'true'),
  ),
  mutant(
    'paused-but-busy',
    'a pause that does not hold',
    edit('plan/plan.js', '    paused,\n', ''),
  ),
  mutant(
    'always-available',
    'a status that says what was wished for',
    edit(
      'status/findings.js',
      "return { type, status: 'False', reason: 'QuorumLost', message };",
      "return { type, status: 'True', reason: 'Serving', message };",
    ),
  ),
  mutant(
    'silent-deeds',
    'what is done and not told',
    edit(
      'act/act.js',
      "modules.recorder.record(cluster, { type: 'Normal', reason, message });",
      '',
    ),
  ),
  mutant(
    'restless',
    'a status that is written again in every pass',
    edit('status/write-status.js', 'if (isDeepStrictEqual(status, cluster.status))', 'if (false)'),
  ),
];
