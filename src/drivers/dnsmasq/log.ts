import {
  closeSync,
  existsSync,
  type FSWatcher,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  truncateSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { unavailable } from '../../kernel/errors/errors.ts'
import type { DhcpEvent } from './driver.ts'
import { parseLogLine } from './files.ts'

/** A log of this many bytes that has been read is emptied. */
const LONGEST = 4 * 1024 * 1024

export interface LogReader {
  /** Reads what is new now; also done whenever the file changes. */
  read(): void
  /** Resolves when a line holding `text` is written from now on. @throws Fault 503 after `timeoutMs` */
  waitFor(text: string, timeoutMs: number): Promise<void>
  close(): void
}

/** Follows `log` in the server's folder; how far it was read is kept beside it, so that a later process goes on there. */
export function readLog(networkId: string, folder: string, listener: (event: DhcpEvent) => void): LogReader {
  const file = join(folder, 'log')
  const mark = join(folder, 'log.read')
  const waiting = new Set<{ text: string; found: () => void }>()
  let offset = existsSync(mark) ? Number(readFileSync(mark, 'utf8')) || 0 : 0
  let rest = ''
  const watcher: FSWatcher = watch(folder, { persistent: false }, (_, name) => {
    if (name === 'log') read()
  })
  watcher.on('error', () => {}) // the folder was removed: the network is gone

  function read(): void {
    if (!existsSync(file)) return
    const text = rest + readFrom()
    const lines = text.split('\n')
    rest = lines.pop() ?? ''
    if (!lines.length) return
    const at = Date.now()
    for (const line of lines) {
      for (const waiter of waiting) if (line.includes(waiter.text)) waiter.found()
      const event = parseLogLine(networkId, line, at)
      if (event) listener(event)
    }
    if (offset > LONGEST && rest === '') {
      truncateSync(file)
      offset = 0
    }
    if (existsSync(folder)) writeFileSync(mark, String(offset - Buffer.byteLength(rest)))
  }

  function readFrom(): string {
    const descriptor = openSync(file, 'r')
    try {
      const { size } = fstatSync(descriptor)
      if (size < offset) offset = 0
      const buffer = Buffer.alloc(size - offset)
      const length = readSync(descriptor, buffer, 0, buffer.length, offset)
      offset += length
      return buffer.toString('utf8', 0, length)
    } finally {
      closeSync(descriptor)
    }
  }

  read()
  return {
    read,
    waitFor: (text, timeoutMs) =>
      new Promise((resolve, reject) => {
        const done = () => {
          clearTimeout(timer)
          waiting.delete(waiter)
        }
        const waiter = {
          text,
          found: () => {
            done()
            resolve()
          },
        }
        const timer = setTimeout(() => {
          done()
          reject(unavailable(`dnsmasq of network ${networkId} did not log "${text}" within ${timeoutMs} ms; see ${file}`, 'Timeout'))
        }, timeoutMs)
        waiting.add(waiter)
      }),
    close: () => watcher.close(),
  }
}
