/**
 * The instruction template of Stanford Alpaca (Taori et al. 2023), with a line end after "### Response:" as most trainers write it.
 * Shared by `alpaca`, `code-alpaca` and `dolly`.
 */

const task = 'Below is an instruction that describes a task'
const request = 'Write a response that appropriately completes the request.'
const response = '### Response:\n'

/** The prompt for an instruction, with further context where there is some. */
export function instructionPrompt(instruction: string, context: string): string {
  if (context === '') return `${task}. ${request}\n\n### Instruction:\n${instruction}\n\n${response}`
  return (
    `${task}, paired with an input that provides further context. ${request}\n\n` +
    `### Instruction:\n${instruction}\n\n### Input:\n${context}\n\n${response}`
  )
}

/** Whether a text is such a prompt already. */
export function isInstructionPrompt(text: string): boolean {
  return text.startsWith(task) && text.endsWith(response)
}
