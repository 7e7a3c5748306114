/** How a federation stands, for whoever asks: the page of a server, `fedlora federation status`, metrics. Plain data, the server's own view. */

/** What a client is at, as far as its server knows. */
export type ClientState =
  /** It has a token, and has not come yet. */
  | 'invited'
  /** It has joined, and nothing is asked of it. */
  | 'idle'
  /** It is asked, and has not said that it works. */
  | 'asked'
  | 'working'
  /** Its answer of the round is there. */
  | 'answered'
  | 'declined'
  | 'failed'
  /** It was asked, and has given no sign of life for long. */
  | 'silent'
  | 'revoked'

export interface ClientStanding {
  name: string
  state: ClientState
  /** When it last said something, milliseconds since the epoch; null: never. */
  seen: number | null
  /** Steps of its work that are done, while it works. */
  step?: number
  steps?: number
  /** Why it declined, failed, or was refused the last time, in words. */
  why?: string
  /** Rounds in which its answer counted. */
  counted: number
  /** Bytes of its updates that counted. */
  bytesUp: number
}

/** A round that has ended. */
export interface RoundStanding {
  round: number
  /** Mean training loss over the clients that counted, nats a token; null when nobody did. */
  loss: number | null
  /** Held-out loss after it, where the server measures. */
  heldOutLoss?: number
  asked: number
  counted: number
  refused: number
  bytesUp: number
  bytesDown: number
  /** From its beginning to its end, by the server's clock. */
  seconds: number
  /** Why nothing of it counts, in words; absent when it made a step. */
  abandoned?: string
  /** ε spent by its end, where the federation is private. */
  epsilon?: number
  /** Without rounds: by how many steps each answer that counted was behind, ascending. */
  stalenesses?: number[]
}

/** A federation without rounds, whose steps are buffers. */
export interface BufferStanding {
  /** Answers in the buffer, and in a full one. */
  answers: number
  size: number
  /** Clients at work, and how many may be. */
  atWork: number
  concurrency: number
}

/** Something that an operator should know. */
export interface Problem {
  /** Milliseconds since the epoch. */
  at: number
  code: string
  words: string
  client?: string
}

export interface Standing {
  name: string
  run: string
  state: 'waiting' | 'running' | 'paused' | 'finished' | 'failed'
  /** What is waited for, in words: "2 more clients; 1 of 3 has joined". */
  waitsFor: string
  /** Rounds that have ended, and rounds in all. */
  round: number
  rounds: number
  /** What clients are to say in the secure aggregation that is under way; absent where none is. */
  phase?: 'keys' | 'shares' | 'masked' | 'signed' | 'revealed'
  /** When the round under way, or that phase, closes at the latest, milliseconds since the epoch; null: no such time. */
  deadline: number | null
  /** Where the federation has no rounds: `round` and `rounds` are then its steps. */
  buffer?: BufferStanding
  /** In ascending order of their names. */
  clients: ClientStanding[]
  /** In order; a long federation shows its last ones. */
  history: RoundStanding[]
  /** The latest last. */
  problems: Problem[]
  bytesUp: number
  bytesDown: number
  /** What is spent and what may be, where the federation is private. */
  privacy?: { epsilon: number | null; delta: number; budget?: number }
}
