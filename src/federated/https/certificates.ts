/** X.509: a certificate authority of one federation, and certificates of its server. ECDSA over P-256 with SHA-256. Source: RFC 5280 §4.2. */
import { type KeyObject, webcrypto, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'

export interface Certified {
  /** PEM. */
  certificate: string
  /** PKCS #8, PEM. */
  key: string
}

const day = 86_400_000
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** Days: an authority lasts as long as the federation, a server's certificate is made anew long before it ends. */
export const lifetimes = { authority: 7300, server: 365, renewal: 90 } as const

/** Only servers make certificates: the library is loaded when one is made. */
async function library() {
  await import('reflect-metadata')
  const x509 = await import('@peculiar/x509')
  x509.cryptoProvider.set(webcrypto)
  return x509
}

const makeKeys = () => webcrypto.subtle.generateKey(ecdsa, true, ['sign', 'verify'])

async function keyText(key: webcrypto.CryptoKey): Promise<string> {
  const bytes = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64')
  return `-----BEGIN PRIVATE KEY-----\n${bytes.match(/.{1,64}/g)!.join('\n')}\n-----END PRIVATE KEY-----\n`
}

/** Valid from a day ago, because clocks of clients differ. */
const validity = (now: number, days: number) => ({
  notBefore: new Date(now - day),
  notAfter: new Date(now + days * day),
})

export async function makeAuthority(name: string, now = Date.now()): Promise<Certified> {
  const {
    X509CertificateGenerator,
    BasicConstraintsExtension,
    KeyUsagesExtension,
    KeyUsageFlags,
    SubjectKeyIdentifierExtension,
  } = await library()
  const keys = await makeKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [name] }],
    keys: keys,
    signingAlgorithm: ecdsa,
    ...validity(now, lifetimes.authority),
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: `${certificate.toString('pem')}\n`, key: await keyText(keys.privateKey) }
}

/** A server's certificate for host names and addresses. */
export async function makeServerCertificate(
  authority: Certified,
  names: readonly string[],
  now = Date.now(),
): Promise<Certified> {
  const x509 = await library()
  const issuer = new x509.X509Certificate(authority.certificate)
  const bytes = Buffer.from(authority.key.replace(/-----[^-]+-----|\s/g, ''), 'base64')
  const signingKey = await webcrypto.subtle.importKey('pkcs8', bytes, ecdsa, false, ['sign'])
  const keys = await makeKeys()
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [names[0]!] }],
    issuer: issuer.subjectName,
    publicKey: keys.publicKey,
    signingKey: signingKey,
    signingAlgorithm: ecdsa,
    ...validity(now, lifetimes.server),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: `${certificate.toString('pem')}\n`, key: await keyText(keys.privateKey) }
}

/** SHA-256 of a certificate's DER bytes, 64 hexadecimal digits: what join tokens pin. */
export const fingerprintOf = (certificate: X509Certificate): string =>
  certificate.fingerprint256.replaceAll(':', '').toLowerCase()

/** Whether a server's certificate must be made anew: it ends soon, lacks a name, or fits neither key nor authority. */
export function isStale(
  { certificate }: Certified,
  key: KeyObject,
  authority: string,
  names: readonly string[],
  now = Date.now(),
): boolean {
  const parsed = new X509Certificate(certificate)
  const covers = (name: string) =>
    (isIP(name) ? parsed.checkIP(name) : parsed.checkHost(name, { subject: 'never' })) !== undefined
  return (
    Date.parse(parsed.validTo) - now < lifetimes.renewal * day ||
    !names.every(covers) ||
    !parsed.checkPrivateKey(key) ||
    !parsed.verify(new X509Certificate(authority).publicKey)
  )
}
