/** Set in a process that another one started: the listening socket that it inherits. */
export const LISTEN_FD = 'YUN_LISTEN_FD'

export const listenFd = (): number | undefined => (process.env[LISTEN_FD] ? Number(process.env[LISTEN_FD]) : undefined)
