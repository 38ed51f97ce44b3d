import type { CommandName } from './flags.ts';

const common = `
  -n, --namespace NAME   Namespace of the StoreCluster; without it, that of the context.
      --context NAME     Context of the kubeconfig; without it, the current one.
      --kubeconfig FILE  As for kubectl: without it, $KUBECONFIG, then ~/.kube/config.
`;

const exits = `
Exit codes: 0 done; 1 it failed, or there is no such StoreCluster; 2 the command line makes no sense;
3 plan: the API server would refuse the edit.
`;

export const help = `kubectl mainstay: what a store does, and why.

  kubectl mainstay status demo                 a picture: members, plan, conditions
  kubectl mainstay members demo                the members alone
  kubectl mainstay plan demo --replicas 5      what would this edit do, step by step
  kubectl mainstay plan demo -f demo.yaml
  kubectl mainstay move-leader demo            let another member lead
  kubectl mainstay restart demo                start every member anew, one at a time, the leader last
  kubectl mainstay pause demo                  let the operator change nothing, until
  kubectl mainstay resume demo
  kubectl mainstay report demo                 a file with all that a question about it needs, without secrets

"kubectl mainstay COMMAND --help" tells more of each.

Flags of all commands:
${common}${exits}`;

export const commandHelp: Readonly<Record<CommandName, string>> = {
  status: `Shows a StoreCluster: its members, what the operator does or waits for, why, and until when.

  kubectl mainstay status demo
  kubectl mainstay status demo -n shop --context staging
  watch -c kubectl mainstay status demo

All of it is from the object's status, so it needs the right to get StoreClusters and nothing else. Colours are for
terminals; NO_COLOR turns them off.

Flags:
${common}${exits}`,
  members: `Lists the members of a StoreCluster: role, version, revision, size of the database, health, node.

  kubectl mainstay members demo

Flags:
${common}${exits}`,
  plan: `Tells what an edit of a StoreCluster would do. Nothing is changed.

  kubectl mainstay plan demo --replicas 5
  kubectl mainstay plan demo --set version=0.2.0
  kubectl mainstay plan demo --set update.surge=true --set resources.limits.memory=2Gi
  kubectl mainstay plan demo -f demo.yaml      the spec in the file takes the place of the present one
  kubectl mainstay plan new -f new.yaml        one that there is not yet

First the API server says whether it would take the edit (a dry run). Then the operator's own planner runs forward
through a model of the world: everything succeeds at once, what is sick stays sick. So it is a forecast: the operator
looks again before each step. Certificates, users and roles are not part of it.

      --replicas N       Another number of members.
      --set PATH=VALUE   Another value of a field of the spec; null takes the field away. May be given more than once.
  -f, --filename FILE    A StoreCluster in YAML or JSON.
${common}${exits}`,
  'move-leader': `Lets another member lead.

  kubectl mainstay move-leader demo            to the healthy member with the lowest number
  kubectl mainstay move-leader demo demo-3

The request goes to the leader through the API server, so no access to the pods' network is needed, but the right to
create pods/proxy is. With auth it is made as root, for which the Secret of spec.auth.rootPassword is read. Where members
want to see certificates of clients (tls.client.verifyClients) it cannot be made this way, since the API server shows none.

Flags:
${common}${exits}`,
  restart: `Starts every member anew, one at a time, the leader last: sets spec.update.restart to the time.

  kubectl mainstay restart demo && kubectl wait storecluster/demo --for=condition=Ready

Flags:
${common}${exits}`,
  pause: `Lets the operator change nothing until "resume": sets spec.paused. The status stays up to date, the store serves.

  kubectl mainstay pause demo

Flags:
${common}${exits}`,
  resume: `Lets the operator go on: sets spec.paused to false.

  kubectl mainstay resume demo

Flags:
${common}${exits}`,
  report: `Writes all that a question about a StoreCluster needs into one file: the object and its children, events, logs.

  kubectl mainstay report demo                 into mainstay-report-NAME-TIME.tar.gz
  kubectl mainstay report demo -o demo.tar.gz

Of Secrets only names are in it: their data is not even read. Values of environment variables are left out. Logs are as
they are. What may not be read is named in the report, and is no error.

  -o, --output FILE      Where to write it.
      --tail LINES       How much of each log, by default the last 2000 lines.
${common}${exits}`,
};
