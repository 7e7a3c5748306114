/** The first look at a server: nothing is sent to it before the authority in its chain is the one that the join token pins. */
import { createHash, X509Certificate } from 'node:crypto'
import type { DetailedPeerCertificate } from 'node:tls'
import { FedloraError } from '../../../errors.js'
import { connectBlindly, type Trust } from './connection.js'

/** Certificates that a server may show. */
const longestChain = 10

/** PEM of the authority that is pinned. @throws FedloraError `E_AUTH` when the server shows another, `E_UNREACHABLE`. */
export async function fetchAuthority(
  address: string,
  pin: string,
  trust: Trust,
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string> {
  const socket = await connectBlindly(new URL(address), environment, trust, signal)
  try {
    let shown: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
    for (let i = 0; i < longestChain && shown?.raw !== undefined; i++) {
      if (createHash('sha256').update(shown.raw).digest('hex') === pin) return new X509Certificate(shown.raw).toString()
      if (shown.issuerCertificate === shown) break
      shown = shown.issuerCertificate
    }
  } finally {
    socket.destroy()
  }
  throw new FedloraError(
    'E_AUTH',
    `${address} is not the server of this join token: its certificate comes from another authority; ask the operator for a new token, and what lies between`,
    { address, pin },
  )
}
