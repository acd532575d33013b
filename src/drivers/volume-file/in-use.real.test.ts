import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { MiB } from '../../kernel/units/units.ts'
import { commandLine, processesWith } from '../daemon.ts'
import { tgt } from '../tgt/real.ts'
import { type PrivateTgtd, privateTgtd } from '../tgt/testing.ts'
import { snapshotName } from '../volume-backend/driver.ts'
import { fileBackend } from './files.ts'

const directory = mkdtempSync(join(tmpdir(), 'yun-in-use-'))
let daemon: PrivateTgtd
before(async () => {
  daemon = await privateTgtd()
})
after(async () => {
  await daemon.stop()
  rmSync(directory, { recursive: true })
})

const NEAR = 0
const FAR = 900 * MiB
/** A pattern is a byte; 0 is what was never written. */
const patternOf = (number: number) => 1 + (number % 251)

/**
 * Writes number after number, first to the near end of a disk, then to the far one, each only after the one before has been acknowledged. So at any moment both ends hold the same number, or the near one is one
 * ahead; a copy that reads the near end first and takes a while until it comes to the far one holds a later number there.
 */
function writer(url: string) {
  const io = spawn('qemu-io', ['-f', 'raw', '--cache', 'none', url], { stdio: ['pipe', 'pipe', 'inherit'] })
  const numbers = { written: 0 }
  let tell = (_outcome: string) => {}
  createInterface(io.stdout).on('line', (line) => /wrote|failed|error/i.test(line) && tell(line))
  io.once('close', () => tell('qemu-io has ended'))
  const command = async (text: string) => {
    const outcome = new Promise<string>((resolve) => {
      tell = resolve
    })
    io.stdin.write(`${text}\n`)
    assert.match(await outcome, /wrote 4096/)
  }
  const write = (number: number, offset: number) => command(`write -P ${patternOf(number)} ${offset} 4096`)
  let going = true
  const ended = (async () => {
    for (let number = 1; going; number++) {
      await write(number, NEAR)
      await write(number, FAR)
      numbers.written = number
    }
    const closed = new Promise((resolve) => io.once('close', resolve))
    io.stdin.end('quit\n')
    await closed
  })()
  return {
    numbers,
    reached: async (number: number) => {
      while (numbers.written < number) await new Promise((resolve) => setTimeout(resolve, 2))
    },
    async stop() {
      going = false
      await ended
    },
  }
}

/** What is at one end: one write, whole. */
async function patternAt(path: string, offset: number): Promise<number> {
  const file = await open(path)
  const { buffer } = await file.read(Buffer.alloc(4096), 0, 4096, offset)
  await file.close()
  assert.ok(
    buffer.every((byte) => byte === buffer[0]),
    'half a write',
  )
  return buffer[0]!
}

test('a snapshot of a volume that is being written to shows one moment, and the writer is told of no error', async () => {
  const backend = await fileBackend(directory)
  const targets = tgt(daemon)
  const id = randomUUID()
  const iqn = `iqn.2010-10.org.openstack:volume-${id}`
  await backend.create(id, 1)
  const disk = await open(backend.path(id), 'r+')
  const noise = randomBytes(64 * MiB)
  for (let at = 8; at < 520; at += 64) await disk.write(noise, 0, noise.length, at * MiB)
  await disk.close()
  const { username } = await targets.ensure({ iqn, path: backend.path(id), secret: 'abcdefghijklmnop', readOnly: false })
  const writing = writer(`iscsi://${username}%abcdefghijklmnop@${daemon.portal}/${iqn}/1`)
  for (let i = 0; i < 3; i++) {
    await writing.reached(writing.numbers.written + 50)
    const snapshot = randomUUID()
    const before = writing.numbers.written
    await backend.createSnapshot(snapshot, id, (work) => targets.held(work))
    const path = join(directory, snapshotName(snapshot))
    const [near, far] = [await patternAt(path, NEAR), await patternAt(path, FAR)]
    const moments = Array.from({ length: writing.numbers.written + 2 - before }, (_, i) => before + i)
    const shown = moments.some((n) => far === patternOf(n) && [patternOf(n), patternOf(n + 1)].includes(near))
    assert.ok(
      shown,
      `the ends have ${near} and ${far}, which was at no moment after number ${before} (${patternOf(before)}) was acknowledged`,
    )
    await writing.reached(writing.numbers.written + 50)
    await backend.removeSnapshot(snapshot)
  }
  await writing.stop()
  assert.equal(await patternAt(backend.path(id), FAR), patternOf(writing.numbers.written))
  await targets.remove(iqn)
  await backend.remove(id)
})

test('a daemon goes on when the copy fails, and when whoever stopped it is gone', async () => {
  const fails = tgt(daemon).held(async () => {
    throw new Error('the copy failed')
  })
  await assert.rejects(fails, /the copy failed/)
  assert.deepEqual(await tgt(daemon).list(), [])
  for (const { pid } of processesWith('tgtd', '--control-port'))
    if (commandLine(pid)!.includes(String(daemon.controlPort))) process.kill(pid, 'SIGSTOP')
  assert.deepEqual(await tgt(daemon).list(), [])
  await assert.rejects(
    tgt({ ...daemon, controlPort: 32_123 }).held(async () => {}),
    { status: 503, code: 'TargetDaemon' },
  )
})
