import type { Target } from './driver.ts'

export interface ListedTarget extends Target {
  /** The daemon's own number for it. */
  tid: number
  /** What of the disk initiators are shown, as the daemon prints it. */
  megabytes: number | null
}

/** Reads what `tgtadm --op show --mode target` prints. */
export function readTargets(output: string): ListedTarget[] {
  return output
    .split(/^(?=Target \d+: )/m)
    .filter((block) => block.startsWith('Target '))
    .map(readOne)
}

function readOne(block: string): ListedTarget {
  const [, tid, iqn] = /^Target (\d+): (.*)$/m.exec(block)!
  const lun = /^ {8}LUN: 1\n([\s\S]*?)(?=^ {8}LUN: |^ {4}\S|$(?![\s\S]))/m.exec(block)?.[1] ?? ''
  return {
    tid: Number(tid),
    iqn: iqn!.trim(),
    path: /Backing store path: (.*)/.exec(lun)?.[1]?.trim() ?? null,
    megabytes: numberIn(/Size: (\d+) MB/.exec(lun)),
    readOnly: /Readonly: Yes/.test(lun),
    username: lines(block, 'Account information:')[0] ?? null,
    open: lines(block, 'ACL information:').includes('ALL'),
    initiators: [...block.matchAll(/Initiator: (\S+)/g)].map((match) => match[1]!),
  }
}

const numberIn = (found: RegExpExecArray | null) => (found ? Number(found[1]) : null)

/** How tgtd counts the megabytes that it prints. */
export function megabytesOf(bytes: number): number {
  const sectors = Math.floor(bytes / 512)
  return Math.floor((sectors - (Math.floor(sectors / 625) - 974)) / 1950)
}

/** The indented lines below a heading. */
function lines(block: string, heading: string): string[] {
  const rest = block.split(`    ${heading}\n`)[1] ?? ''
  const found: string[] = []
  for (const line of rest.split('\n')) {
    if (!line.startsWith('        ')) break
    found.push(line.trim().replace(/ \(outgoing\)$/, ''))
  }
  return found
}
