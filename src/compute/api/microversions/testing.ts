import { after, before, test } from 'node:test'
import { type Answer, type Asking, House } from '../../testing.ts'

export type Ask = (method: string, path: string, asking?: Omit<Asking, 'at'>) => Promise<Answer>

/** One house for the tests of a file; what is asked in them is asked by an administrator unless they say otherwise. */
export function inOneHouse(options: { hosts?: number; prepare?: (house: House) => Promise<void> } = {}) {
  const opened: { house?: House } = {}
  before(async () => {
    opened.house = await House.open(options)
    await options.prepare?.(opened.house)
  })
  after(() => opened.house?.stop())
  const askAt =
    (minor: number): Ask =>
    (method, path, asking = {}) =>
      opened.house!.ask(method, path, { as: 'admin', ...asking, at: `2.${minor}` })
  return {
    get house(): House {
      return opened.house!
    },
    /** What a microversion changed: asked at the one before it and at itself. */
    microversion(version: `2.${number}`, what: string, body: (before: Ask, at: Ask) => Promise<void>): void {
      const minor = Number(version.slice(2))
      test(`${version}: ${what}`, () => body(askAt(minor - 1), askAt(minor)))
    },
  }
}

/** Statuses of both, for what is refused at one of them. */
export const both = async (method: string, path: string, before: Ask, at: Ask, body?: unknown): Promise<[number, number]> => [
  (await before(method, path, { body })).status,
  (await at(method, path, { body })).status,
]
