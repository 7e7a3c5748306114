/** Options that several rules have. */
import { z } from 'zod'

export const noOptions = z.strictObject({})
