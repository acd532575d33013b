export type Report = (what: string, figure: string, beside: string) => void

export const report: Report = (what, figure, beside) => console.log(` ${what.padEnd(40)} ${figure.padEnd(24)} ${beside}`)
