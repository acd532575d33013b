import { showMs } from '../kernel/units/units.ts'

/** One row of GET /servers/{id}/trace. */
export interface TraceStep {
  step: number
  name: string
  title: string
  chapter: string
  status: 'done' | 'failed' | 'undone' | 'not happened'
  started_at: string | null
  ms: number | null
  evidence: { text: string } | null
}

export interface Screen {
  tty: boolean
  columns: number
  rows: number
  write(text: string): void
}

export const screenOf = (stream: NodeJS.WriteStream): Screen => ({
  get tty() {
    return stream.isTTY === true
  },
  get columns() {
    return stream.columns ?? 140
  },
  get rows() {
    return stream.rows ?? 40
  },
  write: (text) => void stream.write(text),
})

const MARK = { done: '✔', failed: '✖', undone: '↺', 'not happened': '○' }
const COLOUR = { done: '32', failed: '31', undone: '33', 'not happened': '90' }
const SPINNER = '◐◓◑◒'

/** `Scheduler   ✔ 13  filter hosts   0.2 ms   1 of 1 left: …`, cut to the screen's width. */
export function line(
  row: TraceStep,
  chapter: string,
  screen: Pick<Screen, 'tty' | 'columns'>,
  mark = MARK[row.status],
  text = row.evidence?.text ?? '',
): string {
  const took = row.ms === null ? '' : showMs(row.ms)
  const plain = ` ${chapter.padEnd(10)} ${mark} ${String(row.step).padStart(2)}  ${row.title.padEnd(22)} ${took.padStart(8)}   ${text.replaceAll(/\s+/g, ' ')}`
  if (!screen.tty) return plain
  const cut = plain.length > screen.columns ? `${plain.slice(0, screen.columns - 1)}…` : plain
  const at = 1 + Math.max(10, chapter.length) + 1
  return `\u001b[1m${cut.slice(0, at)}\u001b[0m\u001b[${COLOUR[row.status]}m${cut.slice(at, at + 1)}\u001b[0m${cut.slice(at + 1)}`
}

/**
 * The fifty steps as they happen. On a terminal finished steps scroll up in the article's order and what is under way is redrawn below them; elsewhere each step
 * is one line when it is done.
 */
export class StepsView {
  private readonly screen: Screen
  private readonly shown = new Set<number>()
  private lastChapter = ''
  private drawn = 0
  private tick = 0

  constructor(screen: Screen) {
    this.screen = screen
  }

  /** A line that is no step: `note('Glance', 'image tiny', 'uploaded …')`. */
  note(chapter: string, title: string, ms: number | null, text: string): void {
    this.erase()
    this.lastChapter = chapter
    this.screen.write(
      `${line({ step: 0, name: '', title, chapter, status: 'done', started_at: null, ms, evidence: { text } }, chapter, this.screen, '·').replace(/ 0 {2}/, '    ')}\n`,
    )
  }

  /** Shows what is new in `steps`; `waiting` says in words what the next step waits for. `last` is the highest step expected for now. */
  update(steps: TraceStep[], waiting: string | null, last: number): void {
    this.erase()
    const happened = steps.filter((row) => row.status !== 'not happened' && !this.shown.has(row.step))
    const open = steps.filter((row) => row.status === 'not happened' && row.step <= last)
    const firstOpen = open[0]?.step ?? Number.POSITIVE_INFINITY
    const ripe = this.screen.tty ? happened.filter((row) => row.step < firstOpen) : happened
    for (const row of ripe) this.print(row)
    if (!this.screen.tty || !waiting) return
    const below = [...happened.filter((row) => row.step > firstOpen), ...open.slice(0, 1)]
      .sort((a, b) => a.step - b.step)
      .slice(0, this.screen.rows - 2)
    let chapter = this.lastChapter
    for (const row of below) {
      const spinning = row.status === 'not happened'
      const text = spinning
        ? line({ ...row, ms: null }, row.chapter === chapter ? '' : row.chapter, this.screen, SPINNER[this.tick++ % 4], waiting)
        : line(row, row.chapter === chapter ? '' : row.chapter, this.screen)
      chapter = row.chapter
      this.screen.write(`${text}\n`)
      this.drawn++
    }
  }

  /** Prints what happened and was held back because an earlier step is still open. */
  finish(steps: TraceStep[]): void {
    this.erase()
    for (const row of steps.filter((one) => one.status !== 'not happened' && !this.shown.has(one.step))) this.print(row)
  }

  private print(row: TraceStep): void {
    this.shown.add(row.step)
    const chapter = this.screen.tty && row.chapter === this.lastChapter ? '' : row.chapter
    this.lastChapter = row.chapter
    this.screen.write(`${line(row, chapter, this.screen)}\n`)
  }

  private erase(): void {
    if (this.drawn > 0) this.screen.write(`\u001b[${this.drawn}A\u001b[J`)
    this.drawn = 0
  }
}
