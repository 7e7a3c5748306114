/**
 * Which tokenizer a folder holds, as one hash: machines that train one adapter together must make the same ids of the same text. What changes no id and no
 * text of a template does not count: how JSON is spelt, `truncation` and `padding`, ids that only end a generation. The order of special tokens in
 * tokenizer_config.json does: those that the vocabulary lacks get ids in it.
 */
import { createHash } from 'node:crypto'
import { chatTemplateSource } from '../data/tokenizer/chat-template.js'
import { readSource } from '../data/tokenizer/load-tokenizer.js'
import { sectionsOfClass } from '../data/tokenizer/tokenizer-class.js'
import {
  declaredTokens,
  fallbackId,
  namedSpecialTokens,
  type TokenizerFiles,
} from '../data/tokenizer/tokenizer-files.js'
import { FedloraError } from '../errors.js'
import { canonicalJson } from '../files/canonical-json.js'
import type { Json } from '../files/json.js'

/** Of tokenizer.json: what transformers writes down of its last call. */
const ofCalls = ['truncation', 'padding', 'version']

function meaningOf(written: Json, files: TokenizerFiles): Json {
  const named = namedSpecialTokens(files)
  const template = chatTemplateSource(files.chatTemplate, files.config.chat_template, files.namedChatTemplates)
  const ids = ['bos', 'eos', 'pad'].map((name) =>
    named.has(`${name}_token`) ? null : (fallbackId(files, name) ?? null),
  )
  return {
    tokenizer: Object.fromEntries(Object.entries(written).filter(([key]) => !ofCalls.includes(key))),
    declared: declaredTokens(files),
    ofClass: sectionsOfClass(files),
    named: Object.fromEntries(named),
    ids,
    template: template instanceof Map ? Object.fromEntries(template) : (template as string | null),
  }
}

/**
 * SHA-256 of what decides the ids of a text.
 * @param source - as `loadTokenizer` takes it.
 * @throws FedloraError `E_TOKENIZER` when there is none, or it is no JSON; `E_IO`.
 */
export async function identifyTokenizer(source: string): Promise<string> {
  const { folder, files } = await readSource(source)
  let written: Json
  try {
    written = JSON.parse(Buffer.from(files.tokenizer).toString('utf8')) as Json
  } catch (error) {
    throw new FedloraError('E_TOKENIZER', `${folder}: tokenizer.json is not JSON`, { folder }, error)
  }
  const meaning = JSON.parse(JSON.stringify(meaningOf(written, files)))
  return createHash('sha256').update(canonicalJson(meaning, 'tokenizer')).digest('hex')
}
