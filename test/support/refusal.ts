/** How a refused input is judged: by its code, and by what of the message and the details matters. Tap matches these fields and no others. */
export type Refusal = { code: string; message?: string | RegExp; details?: Record<string, unknown> }
