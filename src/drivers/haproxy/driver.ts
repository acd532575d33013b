/** The metadata proxy of one namespace: takes guests' requests, says on whose behalf they come, and passes them on over a unix socket. */
export interface MetadataProxy {
  /** A router's proxy names the router to the server, a network's the network. */
  kind: 'router' | 'network'
  /** Of the router or network. */
  id: string
  /** `qrouter-<id>` or `qdhcp-<id>` */
  namespace: string
  listen: { address: string; port: number }[]
  /** Where the metadata server listens. */
  socket: string
}

export type ProxyOutcome = 'unchanged' | 'started' | 'restarted'

export interface HaProxy {
  /**
   * Sees to it that the proxy runs as asked; one left by an earlier process is adopted. Headers that a guest sends to pass for another are removed.
   * @throws Fault 400 BadProxy for an id, address or path that would not be one word of the configuration
   */
  ensure(proxy: MetadataProxy): Promise<ProxyOutcome>
  /** An absent one is no error. */
  stop(id: string): Promise<void>
  list(): Promise<{ id: string; pid: number | undefined }[]>
}
