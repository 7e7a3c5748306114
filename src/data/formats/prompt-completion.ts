/** `prompt-completion`: { prompt, completion }, both as they are. */

import { checkTexts, type Format, promptAndCompletion, text } from './format.js'

export const promptCompletion: Format = {
  fields: ['prompt', 'completion'],
  needsTokenizer: true,
  check: checkTexts(['prompt', 'completion']),
  segments: (row) => promptAndCompletion(text(row, 'prompt'), text(row, 'completion')),
}
