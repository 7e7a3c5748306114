/**
 * Chat templates beside transformers' apply_chat_template: the repository's own, and every *.jinja of the folder in FEDLORA_TEMPLATES (those
 * of real models; none are kept here), each on some two hundred conversations.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parity, runPython, scratch } from '../support/parity.js'
import { judge, readCases } from '../support/templates.js'

t.setTimeout(3_600_000)

const folders = [join('test', 'golden', 'templates'), process.env.FEDLORA_TEMPLATES ?? ''].filter(
  (folder) => folder !== '',
)

for (const [at, folder] of folders.entries()) {
  parity(`templates of ${folder}`, async (t) => {
    const output = join(scratch, `templates-${at}`)
    await runPython('render_templates.py', folder, output)
    const cases = readCases(readFileSync(join(output, 'conversations.jsonl'), 'utf8'))
    const total = { compared: 0, refused: 0, wrong: 0 }
    for (const name of readdirSync(folder).filter((file) => /\.jinja2?$/.test(file))) {
      const texts = JSON.parse(readFileSync(join(output, `${name}.json`), 'utf8'))
      const marked = join(output, `${name}.spans.json`)
      const spans = existsSync(marked) ? JSON.parse(readFileSync(marked, 'utf8')) : undefined
      const verdict = judge(name, readFileSync(join(folder, name), 'utf8'), cases, { texts, spans })
      total.compared += verdict.compared
      total.refused += verdict.refused
      total.wrong += verdict.wrong.length
      t.strictSame(verdict.wrong.slice(0, 3), [], name)
    }
    t.ok(total.compared > 1500, `${total.compared} texts, ${total.wrong} wrong, ${total.refused} refused by both`)
  })
}
