import type { CommandName } from './command-line.ts';

export const overview = `mainstayctl talks to a Mainstay cluster, or to any other that speaks the etcd v3 API.

  mainstayctl put greeting hello                 write a key
  mainstayctl get greeting                       read it
  mainstayctl get --prefix config/               read every key that begins so
  mainstayctl watch --prefix config/             follow changes as they happen
  mainstayctl status                             how each member is
  mainstayctl member list                        who is in the cluster
  mainstayctl snapshot save backup.db            a copy of everything, in one file

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
  'member list': `Who is in the cluster.

  mainstayctl member list
  mainstayctl member list -w json
`,
};
