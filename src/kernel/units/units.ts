/** Sizes as people say them. All byte counts are integers. */
export const KiB = 1024
export const MiB = 1024 ** 2
export const GiB = 1024 ** 3

/** 1536 → '1.5 KiB' */
export function showBytes(bytes: number): string {
  for (const [name, size] of [
    ['TiB', 1024 ** 4],
    ['GiB', GiB],
    ['MiB', MiB],
    ['KiB', KiB],
  ] as const)
    if (bytes >= size) return `${trim(bytes / size)} ${name}`
  return `${bytes} B`
}

/** 0.41 → '0.4 ms', 31.2 → '31 ms', 2900 → '2.9 s' */
export function showMs(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 100_000) return `${(ms / 1000).toFixed(1)} s`
  return `${Math.round(ms / 60_000)} min`
}

const trim = (value: number) => value.toFixed(1).replace(/\.0$/, '')
