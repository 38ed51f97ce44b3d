import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathText, queryText, signed } from '../../../server/backup/sigv4.ts';

// The examples of Amazon's documentation ("Signature Calculations for the Authorization Header").

const signing = {
  credentials: {
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  },
  region: 'us-east-1',
  nowMs: Date.parse('2013-05-24T00:00:00Z'),
};

function authorizationOf(query: Record<string, string>, more: Record<string, string> = {}): string {
  const headers = { host: 'examplebucket.s3.amazonaws.com', ...more };
  const request = { method: 'GET', path: '/', query, headers, body: new Uint8Array() };
  return signed(request, signing)['authorization'] ?? '';
}

test('signatures are those of the documented examples', () => {
  assert.match(
    authorizationOf({ lifecycle: '' }),
    /Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543$/,
  );
  assert.equal(
    authorizationOf({ prefix: 'J', 'max-keys': '2' }, { 'content-type': 'not signed' }),
    'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ' +
      'SignedHeaders=host;x-amz-content-sha256;x-amz-date, ' +
      'Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  );
});

test('temporary credentials are signed with their token', () => {
  const credentials = { ...signing.credentials, sessionToken: 'token' };
  const request = {
    method: 'GET',
    path: '/',
    query: {},
    headers: { host: 'h' },
    body: Buffer.of(),
  };
  const headers = signed(request, { ...signing, credentials });
  assert.equal(headers['x-amz-security-token'], 'token');
  assert.match(headers['authorization'] ?? '', /x-amz-date;x-amz-security-token,/);
});

test('names and queries are encoded as they are signed', () => {
  assert.equal(pathText("a b/ü(1)'*"), 'a%20b/%C3%BC%281%29%27%2A');
  assert.equal(queryText({ prefix: 'a/b c', 'list-type': '2' }), 'list-type=2&prefix=a%2Fb%20c');
});
