import { X509Certificate } from 'node:crypto'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { certificateNames, publicAddress } from '../../src/federated/https/addresses.js'
import { fingerprintOf, lifetimes, makeServerCertificate } from '../../src/federated/https/certificates.js'
import { listenSchema, tlsSchema } from '../../src/federated/https/options.js'
import { openIdentity } from '../../src/federated/https/tls-folder.js'

const run = '0123456789abcdef'.repeat(2)
const own = { names: [] }
const day = 86_400_000
const parts = (chain: string) => chain.split(/(?<=-----END CERTIFICATE-----\n)/).map((pem) => new X509Certificate(pem))

t.test('an authority is made once, a server’s certificate whenever it is due', async (t) => {
  const folder = t.testdir()
  const first = await openIdentity(folder, own, ['fed.example.org', '10.0.0.7', '::1'], run)
  const [server, authority] = parts(first.chain)
  t.equal(authority!.ca, true)
  t.equal(server!.ca, false)
  t.ok(server!.verify(authority!.publicKey) && authority!.verify(authority!.publicKey))
  t.equal(first.pin, fingerprintOf(authority!))
  t.ok(server!.checkHost('fed.example.org') && server!.checkIP('10.0.0.7') && server!.checkIP('::1'))
  t.notOk(server!.checkHost('other.example.org'))
  t.equal(server!.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  for (const name of ['authority.key', 'server.key'])
    t.equal((await stat(join(folder, 'tls', name))).mode & 0o777, 0o600, name)

  const again = await openIdentity(folder, own, ['fed.example.org', '10.0.0.7', '::1'], run)
  t.equal(again.chain, first.chain, 'nothing is due')
  const renamed = await openIdentity(folder, own, ['new.example.org'], run)
  t.not(renamed.chain, first.chain)
  t.equal(renamed.pin, first.pin, 'another name: another certificate of the same authority')

  const place = join(folder, 'tls')
  const pair = { certificate: authority!.toString(), key: await readFile(join(place, 'authority.key'), 'utf8') }
  const old = await makeServerCertificate(
    pair,
    ['new.example.org'],
    Date.now() - (lifetimes.server - lifetimes.renewal + 1) * day,
  )
  await writeFile(join(place, 'server.pem'), old.certificate)
  await writeFile(join(place, 'server.key'), old.key)
  const renewed = await openIdentity(folder, own, ['new.example.org'], run)
  t.not(renewed.chain, old.certificate + pair.certificate, 'one that ends soon is made anew')
  t.equal(renewed.pin, first.pin)
  await writeFile(join(place, 'server.pem'), 'torn')
  t.equal((await openIdentity(folder, own, ['new.example.org'], run)).pin, first.pin, 'a torn one as well')

  await rm(join(place, 'authority.key'))
  await t.rejects(
    openIdentity(folder, own, ['x'], run),
    { code: 'E_MISSING' },
    'an authority without its key is not replaced',
  )
})

t.test('the operator’s own files, or what is wrong with them', async (t) => {
  const folder = t.testdir({ empty: {} })
  const made = await openIdentity(folder, own, ['a'], run)
  const [certificate, key] = [join(folder, 'c.pem'), join(folder, 'k.pem')]
  await writeFile(certificate, made.chain)
  await writeFile(key, made.key)
  const found = await openIdentity(join(folder, 'empty'), { names: [], certificate, key }, ['b'], run)
  t.same(found, { chain: made.chain, key: made.key }, 'as they are, without a pin')
  await writeFile(key, await readFile(join(folder, 'tls', 'authority.key')))
  const open = (over: object) => openIdentity(folder, { names: [], certificate, key, ...over }, ['b'], run)
  await t.rejects(open({}), { code: 'E_FORMAT' }, 'another key')
  await writeFile(key, 'no key')
  await t.rejects(open({}), { code: 'E_FORMAT' })
  for (const name of ['certificate', 'key', 'clientAuthority']) {
    const message = `tls.${name}: '${join(folder, 'nowhere')}' does not exist`
    await t.rejects(open({ [name]: join(folder, 'nowhere') }), { code: 'E_MISSING', message })
  }
})

t.test('names of a certificate, and the address of tokens', async (t) => {
  const listen = listenSchema.parse({ host: '192.0.2.1' })
  t.same(certificateNames(listen, ['Fed.example.org']), [
    'fed.example.org',
    '192.0.2.1',
    'localhost',
    '127.0.0.1',
    '::1',
  ])
  const odd = ['fed example', 'fé.org', '*.example.org', 'fed_1']
  t.same(certificateNames(listen, odd).slice(0, 3), ['*.example.org', 'fed_1', '192.0.2.1'], 'what no name can be')
  t.equal(publicAddress(listen, [], 8443), 'https://192.0.2.1:8443')
  t.equal(publicAddress(listen, ['fed.example.org'], 1), 'https://fed.example.org:1')
  t.equal(publicAddress(listenSchema.parse({ host: '::1' }), [], 1), 'https://[::1]:1')
  const behind = listenSchema.parse({ publicUrl: 'https://example.org/fed/' })
  t.equal(publicAddress(behind, [], 1), 'https://example.org/fed')
  t.ok(certificateNames(behind, []).includes('example.org'))
  const everywhere = certificateNames(listenSchema.parse({}), [])
  t.notOk(everywhere.some((name) => name === '0.0.0.0' || name === '::'))
  for (const host of ['0.0.0.0', '::']) {
    const all = listenSchema.parse({ host })
    t.same(certificateNames(all, []), everywhere, `${host} is every address, and no name`)
    t.equal(publicAddress(all, [], 1), publicAddress(listenSchema.parse({}), [], 1))
  }
  for (const bad of [{ certificate: 'x' }, { key: 'x' }, true, { name: ['x'] }]) t.throws(() => tlsSchema.parse(bad))
})
