/** A table as the OpenStack clients draw it. */
export function table(head: string[], rows: string[][]): string {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)))
  const rule = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+`
  const show = (row: string[]) => `|${row.map((cell, i) => ` ${cell.padEnd(widths[i]!)} `).join('|')}|`
  return [rule, show(head), rule, ...rows.map(show), rule].join('\n')
}
