/**
 * The operator's side of a server: the page for people, metrics, health, and the commands of whoever has a token of the server's folder. Plain HTTP,
 * meant for the machine itself; FOLDER/operator.json says where it listens.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FedloraError } from '../../../errors.js'
import { ioError } from '../../../files/atomic.js'
import { pageFile, pageHeaders, standingStream, streamHeaders } from '../page.js'
import { problemOf, problemText, problemType } from '../problem.js'
import { findRoute, type Route } from '../server/router.js'
import type { Role, Roles } from './tokens.js'

/** Bytes of a command. */
const longest = 65_536

export interface Call {
  request: IncomingMessage
  response: ServerResponse
  role: Role
  query: URLSearchParams
}

export interface OperatorRoute {
  /** Who may ask; undefined: everybody who reaches the port. */
  role?: Role
  /** Gives the JSON of the answer; undefined when it has answered by itself. */
  run(call: Call): Promise<unknown>
}

/** What a command says: a JSON object, and nothing from a page of somebody else (a form cannot send this type). */
export async function readCommand(request: IncomingMessage): Promise<Record<string, unknown>> {
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
    throw new FedloraError('E_FORMAT', 'expected content-type: application/json')
  }
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length
    if (bytes > longest) throw new FedloraError('E_TOO_LARGE', `a command of more than ${longest} bytes`)
    chunks.push(chunk as Buffer)
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}')
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {} // told below
  throw new FedloraError('E_FORMAT', 'expected a JSON object')
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.headersSent || response.destroyed) return void response.destroy()
  response.writeHead(status, {
    ...pageHeaders,
    'cache-control': 'no-store',
    'content-type': type,
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}

/** The page's own stream: how the federation stands, until the page is closed. */
export async function streamStanding(
  response: ServerResponse,
  read: Parameters<typeof standingStream>[0],
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  response.writeHead(200, streamHeaders)
  for await (const text of standingStream(read, gone.signal)) response.write(text)
  response.end()
}

export interface OperatorListener {
  url: string
  close(): Promise<void>
}

/** @throws FedloraError `E_IO` when the port cannot be had. */
export async function listenForOperator(
  { host, port }: { host: string; port: number },
  roles: Roles,
  routes: readonly Route<OperatorRoute>[],
): Promise<OperatorListener> {
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const target = request.url ?? ''
      const page = request.method === 'GET' ? pageFile(target.split('?')[0]!) : undefined
      if (page !== undefined) return void response.writeHead(200, page.headers).end(page.body)
      const { route, query } = findRoute(routes, request.method ?? '', target)
      const wanted = route.handle.role
      const role = wanted === undefined ? 'observer' : roles.of(request.headers.authorization, wanted)
      const value = await route.handle.run({ request, response, role, query })
      if (value !== undefined) send(response, 200, 'application/json', `${JSON.stringify(value)}\n`)
    } catch (error) {
      const problem = problemOf(error)
      send(response, problem.status, problemType, problemText(problem))
    }
  }
  const server = createServer(
    { requestTimeout: 30_000, headersTimeout: 10_000 },
    (request, response) => void answer(request, response),
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, resolve)
  }).catch((error: NodeJS.ErrnoException) => {
    const cure = error.code === 'EADDRINUSE' ? '; choose another in listen.admin.port' : ''
    throw new FedloraError(
      'E_IO',
      `cannot listen at ${host}, port ${port}, for the operator: ${error.message}${cure}`,
      { host, port },
      ioError(error, 'listen'),
    )
  })
  const { port: got } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${got}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
