import pino, { type Logger } from 'pino'

export type Log = Logger

/** Structured lines to a file (the cloud's own log) or to standard error; tokens and passwords are cut out wherever they stand. */
export function createLog(options: { level?: string; file?: string; name: string }): Log {
  return pino(
    {
      name: options.name,
      level: options.level ?? 'info',
      redact: {
        paths: [
          'token',
          '*.token',
          'password',
          '*.password',
          'adminPass',
          '*.adminPass',
          'headers["x-auth-token"]',
          '*.headers["x-auth-token"]',
          'secret',
          '*.secret',
        ],
        censor: '***',
      },
    },
    pino.destination(options.file ? { dest: options.file, mkdir: true, sync: true } : { dest: 2, sync: true }),
  )
}

export const silent = (): Log => pino({ level: 'silent' })
