import { readFile, realpath, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { Fault, unavailable } from '../../kernel/errors/errors.ts'
import { ExecError, type ExecResult, exec } from '../../kernel/exec/exec.ts'
import { assertTarget, LUN, type NewTarget, type TargetDriver, usernameOf } from './driver.ts'
import { type ListedTarget, megabytesOf, readTargets } from './listing.ts'
import { goOn, whileStopped } from './pause.ts'

export interface TgtOptions {
  /** Of tgtd (-C): several daemons on one machine have different ones. */
  controlPort: number
  /** Where tgtd was told to listen. */
  portal: string
}

/** ms; tgtadm itself waits for ever for a daemon that hangs. */
const TIMEOUT = 10_000

/** tgtd, told what to do by tgtadm. One change at a time: a target's number is chosen here. */
export function tgt(options: TgtOptions): TargetDriver {
  goOn(options.controlPort)
  let turn: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work, work)
    turn = mine.catch(() => {}) // its caller hears of it
    return mine
  }
  const tgtadm = (args: string[], secretArgs: number[] = []): Promise<ExecResult> => {
    const before = ['-C', String(options.controlPort), '--lld', 'iscsi']
    return exec('tgtadm', [...before, ...args], { timeoutMs: TIMEOUT, secretArgs: secretArgs.map((i) => i + before.length) }).catch(
      (error) => {
        throw explain(error, options)
      },
    )
  }
  const list = async () => readTargets((await tgtadm(['--op', 'show', '--mode', 'target'])).stdout)

  const destroy = async (iqn: string) => {
    const found = (await list()).find((target) => target.iqn === iqn)
    if (found) await tgtadm(['--op', 'delete', '--force', '--mode', 'target', '--tid', String(found.tid)])
    await forgiving(tgtadm(['--op', 'delete', '--mode', 'account', '--user', usernameOf(iqn)]), /find the account/)
  }
  const make = async ({ iqn, path, secret, readOnly }: NewTarget) => {
    const taken = new Set((await list()).map((target) => target.tid))
    let free = 1
    while (taken.has(free)) free++
    const tid = String(free)
    const username = usernameOf(iqn)
    await tgtadm(['--op', 'new', '--mode', 'target', '--tid', tid, '--targetname', iqn])
    await tgtadm(['--op', 'new', '--mode', 'logicalunit', '--tid', tid, '--lun', String(LUN), '--backing-store', path, '--bstype', 'rdwr'])
    if (readOnly) await tgtadm(['--op', 'update', '--mode', 'logicalunit', '--tid', tid, '--lun', String(LUN), '--params', 'readonly=1'])
    await tgtadm(['--op', 'new', '--mode', 'account', '--user', username, '--password', secret], [7])
    await tgtadm(['--op', 'bind', '--mode', 'account', '--tid', tid, '--user', username])
    await tgtadm(['--op', 'bind', '--mode', 'target', '--tid', tid, '--initiator-address', 'ALL'])
  }
  return {
    portal: options.portal,
    list: () => inTurn(async () => (await list()).map(({ tid: _, megabytes: __, ...target }) => target)),
    ensure: (wanted) =>
      inTurn(async () => {
        assertTarget(wanted)
        const found = (await list()).find((target) => target.iqn === wanted.iqn)
        if (!found || !isWhole(found, wanted) || (await hasGrown(found))) {
          await destroy(wanted.iqn)
          try {
            await make(wanted)
          } catch (error) {
            await destroy(wanted.iqn).catch(() => {}) // what went wrong first is what counts; a rest is found by the audit
            throw error
          }
        }
        return { lun: LUN, username: usernameOf(wanted.iqn) }
      }),
    remove: (iqn) => inTurn(() => destroy(iqn)),
    held: (work) => inTurn(() => whileStopped(options.controlPort, work)),
  }
}

const isWhole = (found: ListedTarget, wanted: NewTarget): boolean =>
  found.open && found.path === wanted.path && found.username === usernameOf(wanted.iqn) && found.readOnly === wanted.readOnly

/** The disk, since the daemon looked at its size. */
async function hasGrown({ path, megabytes }: ListedTarget): Promise<boolean> {
  const bytes = path === null ? null : await sizeOf(path)
  return bytes !== null && megabytes !== null && megabytesOf(bytes) > megabytes
}

/** Of a file or a block device; null for what is neither, or not there. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    const found = await stat(path)
    if (found.isFile()) return found.size
    if (!found.isBlockDevice()) return null
    return Number(await readFile(`/sys/class/block/${basename(await realpath(path))}/size`, 'utf8')) * 512
  } catch {
    return null // what is wrong with it shows when the target is made
  }
}

async function forgiving(work: Promise<unknown>, fine: RegExp): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!fine.test((error as Error).message)) throw error
  }
}

function explain(error: unknown, { controlPort }: TgtOptions): unknown {
  if (!(error instanceof ExecError)) return error
  if (error.exitCode === null && error.message.includes('not found')) return unavailable(error.message, 'TargetDaemon', error)
  if (error.exitCode === 107 || error.exitCode === null || /(connect|send the request|connected)/.test(error.stderr))
    return unavailable(`tgtd does not answer on control port ${controlPort}: is it running? (${error.message})`, 'TargetDaemon', error)
  return new Fault(500, 'TargetRefused', error.message, { cause: error })
}
