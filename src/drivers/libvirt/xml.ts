import { badRequest } from '../../kernel/errors/errors.ts'

/** The XML that libvirt speaks: elements, attributes, text. No mixed content, no DTDs. */
export interface Element {
  name: string
  attributes: Record<string, string>
  children: Element[]
  text: string
}

type Attributes = Record<string, string | number | undefined | null>
type Child = Element | null | undefined | false

/** Attributes and children that are null, undefined or false are left out. */
export function element(name: string, attributes: Attributes = {}, content: string | number | Child[] = []): Element {
  const given: Element['attributes'] = {}
  for (const key in attributes) {
    const value = attributes[key]
    if (value !== undefined && value !== null) given[key] = String(value)
  }
  if (!Array.isArray(content)) return { name, attributes: given, children: [], text: String(content) }
  return { name, attributes: given, children: content.filter((child): child is Element => !!child), text: '' }
}

/** As text, two spaces a level, single quotes as virsh prints. Whatever the values hold, they stay values. */
export function printXml({ name, attributes, children, text }: Element, indent = ''): string {
  let open = `${indent}<${name}`
  for (const key of Object.keys(attributes)) open += ` ${key}='${escaped(attributes[key]!, true)}'`
  if (children.length === 0) return text ? `${open}>${escaped(text, false)}</${name}>\n` : `${open}/>\n`
  let inside = ''
  for (const child of children) inside += printXml(child, `${indent}  `)
  return `${open}>\n${inside}${indent}</${name}>\n`
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&apos;', '"': '&quot;' }

/** Printable ASCII without what ENTITIES names: nearly every value. */
const HARMLESS = /^[ !#-%(-;=?-~]*$/

/** Characters that XML cannot hold at all become U+FFFD, so that a hostile name makes a strange name and not a broken document. */
function escaped(value: string, attribute: boolean): string {
  if (HARMLESS.test(value)) return value
  const held = value.toWellFormed().replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
  const safe = held.replace(/[&<>'"]/g, (character) => ENTITIES[character]!).replaceAll('\r', '&#13;')
  return attribute ? safe.replace(/[\t\n]/g, (character) => `&#${character.charCodeAt(0)};`) : safe
}

/** Whatever begins with a bracket. */
const TOKEN =
  /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[([\s\S]*?)\]\]>|<\/([^\s>]+)\s*>|<([^\s/>!?]+)((?:[^>'"]|'[^']*'|"[^"]*")*?)(\/?)>/y
const ATTRIBUTE = /([^\s=]+)\s*=\s*(?:'([^']*)'|"([^"]*)")/g

/** @throws Fault 400 DomainXml where it is no well-formed document of this kind */
export function parseXml(xml: string): Element {
  const root = element('')
  const open = [root]
  let at = 0
  while (at < xml.length) {
    const current = open[open.length - 1]!
    if (xml[at] !== '<') {
      const next = xml.indexOf('<', at)
      const text = xml.slice(at, next < 0 ? xml.length : next)
      current.text += plain(text)
      at += text.length
    } else if (open.length > 1 && xml[at + 1] === '/' && xml.startsWith(`${current.name}>`, at + 2)) {
      open.pop()
      at += current.name.length + 3
    } else {
      const token = startAt(xml, at) ?? tokenAt(xml, at)
      const { child, end } = token
      at = token.at
      if (child) {
        current.children.push(child)
        if (!token.empty) open.push(child)
      } else if (end !== undefined) {
        if (open.length < 2 || current.name !== end) throw broken(xml, at)
        open.pop()
      } else current.text += token.text ?? ''
    }
  }
  if (open.length !== 1 || root.children.length !== 1 || root.text.trim()) throw broken(xml, xml.length)
  return root.children[0]!
}

/** `at`: where it ends. */
interface Token {
  at: number
  child?: Element
  empty?: boolean
  end?: string
  text?: string
}

function tokenAt(xml: string, from: number): Token {
  TOKEN.lastIndex = from
  const token = TOKEN.exec(xml)
  if (!token) throw broken(xml, from)
  const [, text, end, start, attributes = '', empty] = token
  const at = TOKEN.lastIndex
  if (start === undefined) return { at, end, text }
  const given = [...attributes.matchAll(ATTRIBUTE)].map(([, key, single, double]) => [key!, plain(single ?? double ?? '')])
  return { at, child: { name: start, attributes: Object.fromEntries(given), children: [], text: '' }, empty: empty === '/' }
}

const NAME = /[\w:.-]+/y

/** An element's start as libvirt and {@link printXml} write it, which takes no search for anything else; undefined where it is another token, or written in another way. */
function startAt(xml: string, from: number): Token | undefined {
  const word = (begin: number): number => {
    NAME.lastIndex = begin
    return NAME.test(xml) ? NAME.lastIndex : begin
  }
  let at = word(from + 1)
  const name = xml.slice(from + 1, at)
  const attributes: Element['attributes'] = {}
  while (xml[at] === ' ') {
    const end = word(at + 1)
    const key = xml.slice(at + 1, end)
    const quote = xml[end + 1]!
    const close = quote === "'" || quote === '"' ? xml.indexOf(quote, end + 2) : -1
    if (!key || key === '__proto__' || xml[end] !== '=' || close < 0) return undefined
    attributes[key] = plain(xml.slice(end + 2, close))
    at = close + 1
  }
  const empty = xml[at] === '/'
  if (empty) at++
  if (!name || xml[at] !== '>') return undefined
  return { at: at + 1, child: { name, attributes, children: [], text: '' }, empty }
}

const broken = (xml: string, at: number) => badRequest(`not well-formed XML near "${xml.slice(at, at + 40)}"`, 'DomainXml')

function plain(text: string): string {
  if (!text.includes('&')) return text
  return text.replace(/&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (hex || decimal) return String.fromCodePoint(Math.min(hex ? Number.parseInt(hex, 16) : Number(decimal), 0x10ffff))
    return Object.entries(ENTITIES).find(([, entity]) => entity === `&${name};`)?.[0] ?? whole
  })
}

/** All elements at a path below this one: `find(domain, 'devices', 'disk')`. */
export function find(from: Element | undefined, ...path: string[]): Element[] {
  return path.reduce<Element[]>(
    (level, name) => level.flatMap((each) => each.children.filter((child) => child.name === name)),
    from ? [from] : [],
  )
}

/** The first element at a path below this one. */
export function first(from: Element | undefined, ...path: string[]): Element | undefined {
  return from && firstBelow(from, path, 0)
}

function firstBelow(from: Element, path: string[], depth: number): Element | undefined {
  if (depth === path.length) return from
  for (const child of from.children) {
    const found = child.name === path[depth] ? firstBelow(child, path, depth + 1) : undefined
    if (found) return found
  }
  return undefined
}
