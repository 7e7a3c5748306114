/** An authority and a certificate of this machine that it signed, as PEM. */
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  cryptoProvider,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const day = 86_400_000

export async function makeCertificates(): Promise<{ authority: string; key: string; cert: string }> {
  cryptoProvider.set(webcrypto)
  const pair = () => webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const [root, own] = [await pair(), await pair()]
  const from = {
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + day),
    signingAlgorithm: algorithm,
  }
  const authority = await X509CertificateGenerator.createSelfSigned({
    ...from,
    name: 'CN=authority',
    keys: root,
    extensions: [new BasicConstraintsExtension(true, 0, true)],
  })
  const cert = await X509CertificateGenerator.create({
    ...from,
    subject: 'CN=server',
    issuer: authority.subject,
    publicKey: own.publicKey,
    signingKey: root.privateKey,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])],
  })
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', own.privateKey)).toString('base64')
  const pem = `-----BEGIN PRIVATE KEY-----\n${key.replace(/(.{64})/g, '$1\n')}\n-----END PRIVATE KEY-----\n`
  return { authority: authority.toString('pem'), key: pem, cert: cert.toString('pem') }
}
