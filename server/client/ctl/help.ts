import type { CommandName } from './command-line.ts';

export const overview = `mainstayctl talks to a Mainstay cluster, or to any other that speaks the etcd v3 API.

  mainstayctl put greeting hello                 write a key
  mainstayctl get greeting                       read it
  mainstayctl get --prefix config/               read every key that begins so
  mainstayctl watch --prefix config/             follow changes as they happen
  mainstayctl status                             how each member is
  mainstayctl member list                        who is in the cluster
  mainstayctl snapshot save backup.db            a copy of everything, in one file
  mainstayctl backup save --target s3://BUCKET/PREFIX    a backup in a bucket or a directory; also backup list, verify,
                                                 restore, prune, archive

Where to ask:
  --endpoints HOST:PORT,...    or MAINSTAYCTL_ENDPOINTS, or ETCDCTL_ENDPOINTS [127.0.0.1:2379]
  --command-timeout 5s         how long a call may take, every attempt included
  --user NAME:PASSWORD         who asks, where authentication is on; or the password apart: --password PASSWORD

How, where members speak TLS (each also as MAINSTAYCTL_CACERT..., or ETCDCTL_CACERT...):
  --cacert FILE                who signs the members' certificates [public authorities]
  --cert FILE --key FILE       the certificate to show, and its key
  --insecure-skip-tls-verify   believe any certificate
  --insecure-transport=false   TLS although nothing else asks for it

What to print:
  -w, --write-out simple|table|json

"mainstayctl COMMAND --help" has the examples of one command.
Exit status: 0 done, 1 failed, 2 wrong command line.
`;

const targetHelp = `
Where backups are:
  --target s3://BUCKET/PREFIX or DIRECTORY       or MAINSTAYCTL_TARGET; a directory has to be there
  --s3-endpoint https://HOST:PORT                of a server that is not AWS; or AWS_ENDPOINT_URL
  --s3-region REGION                             or AWS_REGION [us-east-1]
  --s3-addressing path|virtual                   where the bucket's name stands [path with --s3-endpoint]
  --s3-ca-file FILE                              who signs the server's certificate [public authorities]
  --s3-credentials-dir DIRECTORY                 files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, as a
                                                 mounted Secret has them [the environment's variables of these names]
  --s3-sse AES256|aws:kms --s3-sse-kms-key-id ID    the server encrypts what it keeps
  --s3-timeout 30s --s3-retry-for 2m             a silence that is a failure; how long a request is tried again
  --cluster-uid UID                              whose backups [those of the only cluster that has any there]
  --encryption-key-file FILE,...                 32 bytes, also in hex or base64; the first encrypts, all decrypt

For programs:
  -w json                                        the outcome as one line of JSON
  --result-file FILE                             the same in a file, 4 KiB at most
  --progress 10s                                 lines of JSON that say how far it is
`;

export const helpOf: Readonly<Record<CommandName, string>> = {
  put: `Write a key.

  mainstayctl put greeting hello
  mainstayctl put config/app - < app.json        the value from standard input
  mainstayctl put --lease 694d77aa9e38260f session alive
  mainstayctl put --prev-kv greeting bye         print what was there before
  mainstayctl put --may-repeat greeting hello    try again, also when the first try may have worked
`,
  get: `Read keys.

  mainstayctl get greeting
  mainstayctl get --prefix config/ --limit 10
  mainstayctl get --prefix '' --keys-only        every key
  mainstayctl get --prefix config/ --count-only
  mainstayctl get a c                            from a to before c
  mainstayctl get --from-key b                   from b on
  mainstayctl get greeting --rev 42              as it was at revision 42
  mainstayctl get greeting --print-value-only > file
  mainstayctl get greeting -w json
  mainstayctl get greeting --serializable        what one member has, also without a quorum
`,
  watch: `Follow changes until Ctrl-C.

  mainstayctl watch greeting
  mainstayctl watch --prefix config/
  mainstayctl watch --prefix config/ --rev 42    everything since revision 42, then what comes
  mainstayctl watch --prefix '' --prev-kv -w json
`,
  status: `How each member is: one line for each endpoint.

  mainstayctl status
  mainstayctl status --endpoints 10.0.0.1:2379,10.0.0.2:2379
  mainstayctl status --cluster                   every member that the endpoints know
`,
  'snapshot save': `Write everything that one member has into a file, which etcd's tools read too.

  mainstayctl snapshot save backup.db
  mainstayctl snapshot save backup.db --endpoints 10.0.0.2:2379    of this member
`,
  'snapshot status': `What is in a snapshot: hash, revision, keys, size and storage version.

  mainstayctl snapshot status backup.db
  mainstayctl snapshot status backup.db -w json
`,
  'snapshot restore': `Make a data directory for a member of a new cluster, from a snapshot of Mainstay or etcd.

  mainstayctl snapshot restore backup.db --data-dir /var/lib/mainstay/one

Of a cluster of three: on each machine, from the same file, with its own name and URLs:
  mainstayctl snapshot restore backup.db --name a --data-dir /var/lib/mainstay/a \\
    --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380 \\
    --initial-advertise-peer-urls http://10.0.0.1:2380 --initial-cluster-token restored

  --skip-hash-check                              the file was copied from a data directory
  --bump-revision 1000000000 --mark-compacted    no client takes the restored state for an older one of its own:
                                                 watches from before are ended, caches are filled anew
`,
  'backup save': `Take a backup: a snapshot of a follower, read back and compared.

  mainstayctl backup save --target /backups
  mainstayctl backup save --target s3://backups/prod --s3-endpoint https://minio:9000
  mainstayctl backup save --target /backups --encryption-key-file key
  mainstayctl backup save --target /backups --cluster-uid prod --backup-id nightly-1 -w json

  --backup-id ID                                 a retry with the same one makes no second backup [random]
  --cluster NAME                                 what people call the cluster
  --cluster-uid UID                              under what it is kept [the store's own id]
  --create-target                                makes the directory of --target where it is not there
${targetHelp}`,
  'backup list': `Which backups there are, found by what is in the bucket alone.

  mainstayctl backup list --target /backups
  mainstayctl backup list --target s3://backups/prod -w json
  mainstayctl backup list --target /backups --brief --cluster prod -w json

  --brief                                        the newest five, with what fits into a result file
  --before NAME                                  of those that are older than this one
  --cluster NAME                                 of the cluster that people call so, whatever its UID
${targetHelp}`,
  'backup verify': `Restore a backup into a scratch directory, open it, and compare it with what was recorded.

  mainstayctl backup verify --target /backups                    the latest one
  mainstayctl backup verify --target /backups NAME --scratch-dir /scratch

  --scratch-dir DIRECTORY                        needs room for twice the backup [the system's for temporary files]
  --no-record                                    write nothing beside the backup
${targetHelp}`,
  'backup restore': `Make a data directory for a member of a new cluster, from a backup.

  mainstayctl backup restore --target /backups --data-dir /var/lib/mainstay/one               the latest one
  mainstayctl backup restore --target /backups NAME --data-dir /var/lib/mainstay/one
  mainstayctl backup restore --target /backups --revision 1234 --data-dir /var/lib/mainstay/one    with what was archived
  mainstayctl backup restore --target /backups --time 2026-11-27T10:00:00Z --data-dir /var/lib/mainstay/one
  mainstayctl backup restore --target s3://bucket --object old/etcd.db --data-dir /var/lib/mainstay/one
  mainstayctl backup restore --target /backups --dry-run         read and check everything, change nothing

Of a cluster of three: on each machine, from the same NAME and revision, with its own name and URLs, as
"mainstayctl snapshot restore --help" shows.

  --above-revision N                             the next revision is above N, the history up to it is compacted: no client
                                                 takes the restored state for an older one of its own
  --bump-revision N                              the same, by so many more than the backup's revision
${targetHelp}`,
  'backup archive': `Write down every change behind the newest backup, so that any revision and any time in between can be restored.

  mainstayctl backup archive --target /backups                   until it is stopped
  mainstayctl backup archive --target /backups --once            what has happened up to now

  --interval 10s                                 what has changed is written so often, in objects of about 4 MiB at most
  --silence 1m                                   how often it is written that nothing has changed
${targetHelp}`,
  'backup prune': `Delete the backups that are not to be kept. The last good and the last verified one always are.

  mainstayctl backup prune --target /backups --cluster-uid UID --keep-last 3 --dry-run
  mainstayctl backup prune --target /backups --cluster-uid UID --keep-last 3 --keep-daily 7 --keep-weekly 4 \\
    --keep-monthly 12 --time-zone Europe/Berlin

  --at-most N                                    no more than so many at once, the oldest first
${targetHelp}`,
  'member list': `Who is in the cluster.

  mainstayctl member list
  mainstayctl member list -w json
`,
};
