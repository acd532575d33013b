import { type Bus, message } from '../bus/bus.ts'
import type { News } from './engine.ts'

/** Engines of several processes tell each other over the bus. */
export function newsOf(bus: Bus, service: string): News {
  const woken = message<{ subject: string }, void>(`saga.${service}`)
  return {
    tell: (subject) => bus.publish(woken, { subject }),
    hear: (listener) => bus.subscribe(woken, ({ subject }) => listener(subject)),
  }
}
