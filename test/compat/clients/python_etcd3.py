"""What the documentation of python-etcd3 shows, with Debian's own package. Says what it has done, a line each."""
import io
import os
import sys
import threading
import time

import etcd3
import grpc

host, port = os.environ['STORE_ADDRESS'].rsplit(':', 1)
options = {'host': host, 'port': int(port), 'timeout': 20}
if 'STORE_CA' in os.environ:
    options.update(ca_cert=os.environ['STORE_CA'], cert_cert=os.environ['STORE_CERT'],
                   cert_key=os.environ['STORE_KEY'])
if 'STORE_USER' in os.environ:
    options.update(user=os.environ['STORE_USER'], password=os.environ['STORE_PASSWORD'])
client = etcd3.client(**options)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def keys_and_values():
    client.put('kv/a', '1')
    client.put('kv/b', 'two')
    value, meta = client.get('kv/a')
    check((value, meta.key, meta.version) == (b'1', b'kv/a', 1), (value, meta.key))
    check(client.get('kv/none') == (None, None), 'none')
    check([v for v, _ in client.get_prefix('kv/')] == [b'1', b'two'], 'prefix')
    found = client.get_prefix('kv/', sort_order='descend', sort_target='key', keys_only=True)
    check([m.key for _, m in found] == [b'kv/b', b'kv/a'], 'sorted')
    check([v for v, _ in client.get_range('kv/a', 'kv/b')] == [b'1'], 'range')
    check(len(list(client.get_all())) == 2, 'all')
    check(client.put('kv/a', '2', prev_kv=True).prev_kv.value == b'1', 'prev_kv')
    check(client.put_if_not_exists('kv/c', 'new') is True, 'put_if_not_exists')
    check(client.put_if_not_exists('kv/c', 'newer') is False, 'put_if_not_exists again')
    check(client.replace('kv/c', 'new', 'newer') is True, 'replace')
    check(client.replace('kv/c', 'new', 'newest') is False, 'replace again')
    check(client.get_response('kv/a', serializable=True).count == 1, 'serializable')
    check(client.delete('kv/a') is True and client.delete('kv/a') is False, 'delete')
    check(client.delete_prefix('kv/').deleted == 2, 'delete_prefix')


def transactions():
    tx = client.transactions
    client.put('txn/a', '1')
    ok, answers = client.transaction(
        compare=[tx.value('txn/a') == '1', tx.version('txn/a') > 0, tx.create('txn/b') == 0],
        success=[tx.put('txn/b', '2'), tx.get('txn/a')],
        failure=[tx.delete('txn/a')])
    check(ok and answers[1][0][0] == b'1', answers)
    ok, _ = client.transaction(
        compare=[tx.mod('txn/b') < 0],
        success=[],
        failure=[tx.txn(compare=[], success=[tx.delete('txn/a'), tx.put('txn/c', '3')], failure=[])])
    check(not ok and client.get('txn/a')[0] is None and client.get('txn/c')[0] == b'3', 'nested')


def leases():
    lease = client.lease(60)
    client.put('lease/a', '1', lease=lease)
    check(lease.granted_ttl == 60 and 0 < lease.remaining_ttl <= 60, 'ttl')
    check(list(lease.keys) == [b'lease/a'], 'keys')
    check([answer.TTL for answer in lease.refresh()] == [60], 'refresh')
    check(client.get('lease/a')[1].lease_id == lease.id, 'lease id')
    lease.revoke()
    check(client.get('lease/a')[0] is None, 'revoked')


def watches():
    events, cancel = client.watch_prefix('watch/')
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(describe(e) for e in events))
    reader.start()
    client.put('watch/a', '1')
    client.put('watch/b', '2')
    client.delete('watch/a')
    wait(lambda: len(seen) == 3)
    cancel()
    reader.join(10)
    check(seen == ['PutEvent watch/a 1', 'PutEvent watch/b 2', 'DeleteEvent watch/a '], seen)
    revision = client.put('watch/c', '1').header.revision
    client.put('watch/c', '2')
    past, stop = client.watch('watch/c', start_revision=revision)
    check([describe(next(past)), describe(next(past))] ==
          ['PutEvent watch/c 1', 'PutEvent watch/c 2'], 'past')
    stop()
    called = []
    ids = [client.add_watch_callback('watch/d', lambda response: called.append(response))
           for _ in range(3)]
    client.put('watch/d', '1')
    wait(lambda: len(called) == 3)
    for watch_id in ids:
        client.cancel_watch(watch_id)
    threading.Timer(0.2, lambda: client.put('watch/e', '1')).start()
    check(describe(client.watch_once('watch/e', timeout=10)) == 'PutEvent watch/e 1', 'once')


def compacted_watch():
    revision = client.put('compact/a', '1').header.revision
    last = client.put('compact/a', '2').header.revision
    client.compact(last)
    try:
        events, _ = client.watch('compact/a', start_revision=revision)
        next(events)
    except etcd3.exceptions.RevisionCompactedError as error:
        check(error.compacted_revision == last, error.compacted_revision)
    else:
        raise AssertionError('the watch goes on')


def locks():
    # Waiting for a lock that another holds fails within the package itself: it does not fit Debian's tenacity.
    with client.lock('door', ttl=10) as lock:
        check(lock.is_acquired(), 'acquired')
        check(not client.lock('door', ttl=10).is_acquired(), 'acquired by another')
        check([answer.TTL for answer in lock.refresh()] == [10], 'refresh')
    again = client.lock('door', ttl=10)
    check(again.acquire(timeout=5) is True and again.is_acquired(), 'acquired again')
    check(again.release() is True and not again.is_acquired(), 'released')


def members():
    [member] = client.members
    check(member.name == 'm1' and member.client_urls, member.name)
    status = client.status()
    check(status.leader.id == member.id and status.version.startswith('3.'), status.version)
    check(list(client.list_alarms()) == [], 'alarms')


def maintenance():
    client.defragment()
    # The package sends no token with this one.
    if 'STORE_USER' not in os.environ:
        check(client.hash() > 0, 'hash')
    file = io.BytesIO()
    client.snapshot(file)
    check(len(file.getvalue()) % 512 == 32, len(file.getvalue()))


def errors():
    for wrong, code in ((lambda: client.put('e', '1', lease=123), grpc.StatusCode.NOT_FOUND),
                        (lambda: client.get(''), grpc.StatusCode.INVALID_ARGUMENT)):
        try:
            wrong()
        except grpc.RpcError as error:
            check(error.code() == code, error)
        else:
            raise AssertionError('no error')


def describe(event):
    return f'{type(event).__name__} {event.key.decode()} {event.value.decode()}'


def wait(condition):
    end = time.monotonic() + 15
    while not condition():
        check(time.monotonic() < end, 'nothing came')
        time.sleep(0.02)


for step in (keys_and_values, transactions, leases, watches, compacted_watch, locks, members,
             maintenance, errors):
    step()
    print(step.__name__, flush=True)
client.close()
sys.exit(0)
