import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import { unavailable } from '../errors/errors.ts'
import type { Log } from '../log/log.ts'
import type { Bus, OnBusError } from './bus.ts'
import type { Channel, Frame } from './frames.ts'
import { HubBus, joinBus, type Leave } from './hub.ts'

/** The bus of a small cluster without a broker: hosts reach the one control process by WebSocket, on the port of its API. */
export const BUS_PATH = '/bus'

const BEAT_MS = 1_000
/** A machine that lost its power says nothing: silence tells. */
const SILENT_MS = 4_000
const AGAIN_MS = { first: 50, most: 2_000 }

/** @throws Fault 401 for a process that does not belong to this cloud */
export type Admit = (request: IncomingMessage) => Promise<Leave>

export class BusDoor {
  private readonly sockets = new WebSocketServer({ noServer: true, maxPayload: 64 * 1024 * 1024 })
  private readonly bus: Bus
  private readonly admit: Admit

  constructor(bus: Bus, admit: Admit) {
    this.bus = bus
    this.admit = admit
  }

  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const leave = await this.admit(request)
    this.sockets.handleUpgrade(request, socket, head, (client) => joinBus(this.bus, channelOf(client), leave))
  }

  close(): void {
    for (const client of this.sockets.clients) client.terminate()
    this.sockets.close()
  }
}

export interface HubAddress {
  /** Of the API: http://… or https://… */
  url: string
  headers: Record<string, string>
}

/** Returns when the hub has let this process in, and stays with it: a lost connection is made again. @throws Fault 401 when it does not, 503 when it does not answer in `patienceMs` */
export async function connectHub(address: HubAddress, log: Log, onError: OnBusError, patienceMs = 30_000): Promise<Bus> {
  const bus = new HubBus(onError, () => address.url)
  let socket: WebSocket | undefined
  let closed = false
  const until = performance.now() + patienceMs
  const open = () =>
    new Promise<void>((resolve, reject) => {
      socket = new WebSocket(new URL(BUS_PATH, address.url.replace(/^http/, 'ws')), {
        headers: address.headers,
        handshakeTimeout: SILENT_MS,
      })
      socket.once('error', reject)
      socket.once('open', () => {
        bus.attach(channelOf(socket!))
        socket!.once('close', () => void again(AGAIN_MS.first))
        resolve()
      })
    })
  const again = async (pauseMs: number): Promise<void> => {
    if (closed) return
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
    if (closed) return
    await open().then(
      () => log.info({ hub: address.url }, 'the bus is back'),
      (error) => {
        log.warn({ hub: address.url, err: error }, 'the bus is away: guests run on, nothing changes until it is back')
        void again(Math.min(pauseMs * 2, AGAIN_MS.most))
      },
    )
  }
  for (let pause = AGAIN_MS.first; ; pause = Math.min(pause * 2, AGAIN_MS.most)) {
    try {
      await open()
      break
    } catch (error) {
      const why = `the control process at ${address.url} does not let this host on its bus: ${(error as Error).message}`
      if (/40[13]/.test((error as Error).message) || performance.now() > until) throw unavailable(why, 'BusUnreachable', error)
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
  const close = bus.close.bind(bus)
  bus.close = async () => {
    closed = true
    await close()
    socket?.terminate()
  }
  return bus
}

function channelOf(socket: WebSocket): Channel {
  let heard = performance.now()
  const alive = () => {
    heard = performance.now()
  }
  const beat = setInterval(() => {
    if (performance.now() - heard > SILENT_MS) socket.terminate()
    else if (socket.readyState === WebSocket.OPEN) socket.ping()
  }, BEAT_MS).unref()
  socket.on('ping', alive).on('pong', alive)
  socket.on('error', () => socket.terminate())
  socket.on('close', () => clearInterval(beat))
  return {
    send: (frame) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame))
    },
    onFrame: (hear) =>
      void socket.on('message', (data) => {
        alive()
        let frame: Frame
        try {
          frame = JSON.parse(String(data))
        } catch {
          return socket.terminate()
        }
        hear(frame)
      }),
    onClose: (gone) => void socket.on('close', gone),
  }
}
