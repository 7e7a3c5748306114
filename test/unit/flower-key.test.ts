/** Keys of nodes: files, the line of OpenSSH, and signatures, judged by what Flower's own primitives made. */
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readNodeKey } from '../../src/flower/key/key.js'
import { keygenFlower, openSshLine } from '../../src/flower/key/keygen.js'

const golden = JSON.parse(readFileSync(join('test', 'golden', 'flower', 'auth.json'), 'utf8'))

t.test('a public key is the line of OpenSSH that Flower gives it, and its signature holds', async (t) => {
  const pem = Buffer.from(golden['flwr-public-key'], 'base64')
  t.equal(openSshLine(createPublicKey(pem)), golden.openssh)
  const signed = Buffer.from(golden['flwr-timestamp'])
  t.ok(verify('sha256', signed, pem.toString(), Buffer.from(golden['flwr-signature'], 'base64')))
})

t.test('a key is made, read, and signs the time', async (t) => {
  const path = join(t.testdir(), 'keys', 'site-a')
  const { publicKey, publicFile } = await keygenFlower(path, 'site-a')
  t.equal(statSync(path).mode & 0o777, 0o600, 'for its owner alone')
  t.equal(readFileSync(publicFile, 'utf8'), `${publicKey} site-a\n`)
  t.match(readFileSync(path, 'utf8'), /^-----BEGIN PRIVATE KEY-----/)
  const key = await readNodeKey(path)
  t.equal(openSshLine(createPublicKey(key.publicPem)), publicKey)
  const headers = key.headers(new Date('2026-11-26T16:00:00.123Z'))
  t.strictSame(
    Object.keys(headers).sort(),
    Object.keys(golden)
      .filter((name) => name.startsWith('flwr-'))
      .sort(),
  )
  t.equal(headers['flwr-timestamp'], '2026-11-26T16:00:00.123000+00:00')
  const signature = Buffer.from(headers['flwr-signature']!, 'base64')
  t.ok(verify('sha256', Buffer.from(headers['flwr-timestamp']!), key.publicPem.toString(), signature))
  t.notOk(verify('sha256', Buffer.from('another time'), key.publicPem.toString(), signature), 'a canary')
  t.equal(headers['flwr-public-key'], key.publicPem.toString('base64'))
})

t.test('no file is overwritten, and a half-made key is not left', async (t) => {
  const folder = t.testdir({ a: 'kept', 'b.pub': 'kept' })
  await t.rejects(keygenFlower(join(folder, 'a')), { code: 'E_ARGUMENT' })
  await t.rejects(keygenFlower(join(folder, 'b')), { code: 'E_ARGUMENT' })
  t.equal(readFileSync(join(folder, 'a'), 'utf8'), 'kept')
  t.notOk(existsSync(join(folder, 'b')))
  t.notOk(existsSync(join(folder, 'a.pub')))
  for (const wrong of ['', 'a\0b', 5, null]) await t.rejects(keygenFlower(wrong as string), { code: 'E_ARGUMENT' })
  await t.rejects(keygenFlower(join(folder, 'c'), 'two\nlines'), { code: 'E_ARGUMENT' })
})

t.test('P-256 is taken; everything else that may lie in a key file is refused by name', async (t) => {
  const pem = (key: { export(options: object): unknown }, type: string) => key.export({ type, format: 'pem' }) as string
  const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve })
  const folder = t.testdir({
    p256: pem(ec('prime256v1').privateKey, 'pkcs8'),
    sec1: pem(ec('secp384r1').privateKey, 'sec1'),
    k1: pem(ec('secp256k1').privateKey, 'pkcs8'),
    p521: pem(ec('secp521r1').privateKey, 'pkcs8'),
    ed25519: pem(generateKeyPairSync('ed25519').privateKey, 'pkcs8'),
    public: pem(ec('secp384r1').publicKey, 'spki'),
    line: golden.openssh,
    openssh: '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n',
    empty: '',
  })
  t.match(
    openSshLine(createPublicKey((await readNodeKey(join(folder, 'p256'))).publicPem)),
    /^ecdsa-sha2-nistp256 AAAA/,
  )
  await readNodeKey(join(folder, 'sec1'))
  const secret = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey
  const cipher = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const
  writeFileSync(join(folder, 'locked'), secret.export(cipher) as string)
  for (const [name, why] of Object.entries({
    k1: /curve secp256k1/,
    p521: /curve secp521r1/,
    ed25519: /kind ed25519/,
    public: /a public key/,
    line: /a public key/,
    openssh: /OpenSSH's own format/,
    empty: /no private key/,
    locked: /passphrase/,
  })) {
    await t.rejects(readNodeKey(join(folder, name)), { code: 'E_FORMAT', message: why }, name)
  }
  await t.rejects(readNodeKey(join(folder, 'absent')), { code: 'E_MISSING', message: /fedlora flower keygen/ })
  await t.rejects(readNodeKey(folder), { code: 'E_IO' })
  await t.rejects(readNodeKey(7 as never), { code: 'E_ARGUMENT' })
})
