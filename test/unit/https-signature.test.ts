import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import t from 'tap'
import { checkContentDigest, contentDigest } from '../../src/federated/https/digest.js'
import { makeSigningKey, publicKeyOf } from '../../src/federated/https/keys.js'
import { readSignature, signatureBase, signMessage, verifySignature } from '../../src/federated/https/signature.js'
import { innerListText, parseDictionary, Token } from '../../src/federated/https/structured-fields.js'

/** RFC 9421 appendix B.1.4 and B.2.6: the key, what is covered, and the signature. */
const d = 'n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU'
const x = 'JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs'
const covered = [
  ['"date"', 'Tue, 20 Apr 2021 02:07:55 GMT'],
  ['"@method"', 'POST'],
  ['"@path"', '/foo'],
  ['"@authority"', 'example.com'],
  ['"content-type"', 'application/json'],
  ['"content-length"', '18'],
] as const
const parameters = ';created=1618884473;keyid="test-key-ed25519"'
const signature = 'wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=='

t.test('the Ed25519 example of RFC 9421: the same base, hence the same signature', async (t) => {
  const key = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x }, format: 'jwk' })
  const base = signatureBase(covered, parameters)
  t.equal(sign(null, base, key).toString('base64'), signature)
  t.same(createPublicKey(key).export({ format: 'jwk' }), publicKeyOf(x)!.export({ format: 'jwk' }))
  const read = {
    components: covered.map(([identifier]) => identifier),
    parameters,
    signature: Buffer.from(signature, 'base64'),
    created: 1618884473,
    nonce: '',
    keyid: '',
  }
  const values = new Map<string, string>(covered)
  const fits = (required: string[] = []) => verifySignature(read, required, (name) => values.get(name), publicKeyOf(x)!)
  t.ok(fits())
  t.ok(fits(['"@method"']))
  t.notOk(fits(['"content-digest"']), 'covers less than it must')
  values.set('"@path"', '/fop')
  t.notOk(fits(), 'canary: another path')
})

t.test('what is signed is read and fits; anything else is E_AUTH', async (t) => {
  const key = makeSigningKey()
  const fields = signMessage(covered, { created: 1, nonce: 'n'.repeat(22), keyid: key.name }, key.private)
  const read = readSignature(fields['signature-input'], fields.signature)
  t.match(read, { created: 1, nonce: 'n'.repeat(22), keyid: key.name })
  const values = new Map<string, string>(covered)
  t.ok(verifySignature(read, [], (name) => values.get(name), publicKeyOf(key.name)!))
  t.notOk(
    verifySignature(read, [], () => undefined, publicKeyOf(key.name)!),
    'a component that the message lacks',
  )
  t.notOk(
    verifySignature(read, [], (name) => values.get(name), publicKeyOf(x)!),
    'another key',
  )
  const input = fields['signature-input']
  const among = `other=("date");created=5, ${input}`
  t.match(readSignature(among, `other=:AAAA:, ${fields.signature}`), { created: 1 }, 'beside the signature of a proxy')
  const liars: [string | undefined, string | undefined][] = [
    [undefined, fields.signature],
    [input, undefined],
    ['', ''],
    [input, 'fedlora=:AAAA:'],
    [input, 'fedlora="text"'],
    [input, fields.signature.replace('fedlora', 'other')],
    [input.replace('fedlora', 'other'), fields.signature],
    ['fedlora=5', fields.signature],
    [input.replace('created=1', 'created=1.5'), fields.signature],
    [input.replace(';created=1', ''), fields.signature],
    [input.replace(/nonce="n+"/, 'nonce="short"'), fields.signature],
    [input.replace(/;nonce="n+"/, ''), fields.signature],
    [input.replace(/;keyid="[^"]*"/, ';keyid=5'), fields.signature],
    [input.replace('"date"', '"date" "date"'), fields.signature],
    [`${input},`, fields.signature],
    [input.replace('(', '(('), fields.signature],
    ['x'.repeat(20_000), fields.signature],
  ]
  for (const [input, signature] of liars)
    t.throws(() => readSignature(input, signature), { code: 'E_AUTH' }, `${input}`.slice(0, 60))
})

t.test('names of keys are 43 characters and nothing else', async (t) => {
  const { name } = makeSigningKey()
  t.ok(publicKeyOf(name))
  for (const bad of [
    '',
    name.slice(1),
    `${name}=`,
    `${name}A`,
    `${name.slice(0, -1)}*`,
    '__proto__',
    `${'A'.repeat(42)}B`,
  ]) {
    t.equal(publicKeyOf(bad), undefined, bad)
  }
})

t.test('structured fields are read as RFC 9651 writes them', async (t) => {
  const text = 'a=("x" "y;z";p=:AQI=:;q);n=-15;t=tok/en;b=?0, c=:AQI=:;v=1.5, d, e="\\"\\\\"'
  const fields = parseDictionary(text)
  const list = fields.get('a')
  if (list === undefined || !('items' in list)) return t.fail('no list')
  t.same(
    list.items.map(({ value }) => value),
    ['x', 'y;z'],
  )
  t.same(
    [...list.parameters],
    [
      ['n', -15],
      ['t', new Token('tok/en')],
      ['b', false],
    ],
  )
  t.equal(innerListText(list), '("x" "y;z";p=:AQI=:;q);n=-15;t=tok/en;b=?0')
  t.match(fields.get('c'), { value: Buffer.of(1, 2), parameters: new Map([['v', 1.5]]) })
  t.match(fields.get('d'), { value: true })
  t.match(fields.get('e'), { value: '"\\' })
  t.equal(parseDictionary('').size, 0)
  t.match(parseDictionary('a=1, a=2').get('a'), { value: 2 }, 'the last of the same name')
  const bad = [
    'a=',
    'A=1',
    'a=1,',
    'a=1 b=2',
    'a=(',
    'a=("x"',
    'a=("x""y")',
    'a="x',
    'a="\u00e4"',
    'a=:A!:',
    'a=1;',
    'a=1.2345',
    'a=?2',
  ]
  for (const text of [...bad, `a=(${'1 '.repeat(65)})`, Array.from({ length: 65 }, (_, i) => `k${i}`).join(',')]) {
    t.throws(() => parseDictionary(text), { code: 'E_FORMAT' }, text.slice(0, 40))
  }
})

t.test('digests of content', async (t) => {
  // RFC 9530 appendix D: {"hello": "world"} with a line feed.
  const content = Buffer.from('{"hello": "world"}\n')
  t.equal(contentDigest(content), 'sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:')
  checkContentDigest(contentDigest(content), content)
  checkContentDigest(`sha-512=:AAAA:, ${contentDigest(content)}`, content)
  for (const field of [
    undefined,
    '',
    'sha-256=:AAAA:',
    'sha-512=:AAAA:',
    'sha-256="x"',
    contentDigest(Buffer.from('x')),
  ]) {
    t.throws(() => checkContentDigest(field, content), { code: 'E_HASH' }, `${field}`)
  }
})
