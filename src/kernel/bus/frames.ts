import { describe, revive } from '../errors/errors.ts'
import { type Command, collecting, noteCommand } from '../trace/trace.ts'

/** What two processes of one bus say to each other over a channel of theirs (a WebSocket, a pipe): JSON, in order. */
export type Frame =
  | { do: 'call'; id: number; topic: string; name: string; payload: unknown; key?: string; requestId?: string; timeoutMs?: number }
  | { do: 'cast'; id: number; topic: string; name: string; payload: unknown; key?: string; requestId?: string }
  | { do: 'serve' | 'unserve'; topic: string; name: string }
  | { do: 'subscribe' | 'unsubscribe'; name: string; about?: string }
  | { do: 'event'; name: string; payload: unknown; about?: string[] }
  | ({ do: 'answer'; id: number } & Answer)

/** With what the receiver did to the world meanwhile: evidence of the step that asked. */
export interface Answer {
  answer?: unknown
  error?: ReturnType<typeof describe>
  commands?: Command[]
}

export interface Channel {
  send(frame: Frame): void
  onFrame(hear: (frame: Frame) => void): void
  onClose(gone: () => void): void
}

export async function answerOf(work: () => Promise<unknown> | unknown): Promise<Answer> {
  const commands: Command[] = []
  try {
    const { value } = await collecting(async () => await work(), commands)
    return { answer: value, ...(commands.length > 0 ? { commands } : {}) }
  } catch (error) {
    return { error: describe(error), ...(commands.length > 0 ? { commands } : {}) }
  }
}

/** @throws the Fault that the receiver threw */
export function answered({ answer, error, commands }: Answer): unknown {
  for (const command of commands ?? []) noteCommand(command)
  if (error) throw revive(error)
  return answer
}
