/** What the watchdog is for: a program that never ends, or (abort) one that crashes. */
if (process.argv[2] === 'abort') process.abort()
setInterval(() => {}, 1000)
