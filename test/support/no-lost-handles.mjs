/** A file that the garbage collector closes was forgotten by whoever opened it: the test file that it happens in fails. */
process.on('warning', ({ message }) => {
  if (/on garbage collection/.test(message)) throw new Error(`${message}: somebody has opened a file and not closed it`)
})
