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
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined && value !== null)
  return {
    name,
    attributes: Object.fromEntries(given.map(([key, value]) => [key, String(value)])),
    children: Array.isArray(content) ? content.filter((child): child is Element => !!child) : [],
    text: Array.isArray(content) ? '' : String(content),
  }
}

/** As text, two spaces a level, single quotes as virsh prints. Whatever the values hold, they stay values. */
export function printXml({ name, attributes, children, text }: Element, indent = ''): string {
  const open = `${indent}<${name}${Object.entries(attributes)
    .map(([key, value]) => ` ${key}='${escaped(value, true)}'`)
    .join('')}`
  if (children.length) return `${open}>\n${children.map((child) => printXml(child, `${indent}  `)).join('')}${indent}</${name}>\n`
  return text ? `${open}>${escaped(text, false)}</${name}>\n` : `${open}/>\n`
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&apos;', '"': '&quot;' }

/** Characters that XML cannot hold at all become U+FFFD, so that a hostile name makes a strange name and not a broken document. */
function escaped(value: string, attribute: boolean): string {
  const held = value.toWellFormed().replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
  const safe = held.replace(/[&<>'"]/g, (character) => ENTITIES[character]!).replaceAll('\r', '&#13;')
  return attribute ? safe.replace(/[\t\n]/g, (character) => `&#${character.charCodeAt(0)};`) : safe
}

const TOKEN =
  /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[([\s\S]*?)\]\]>|<\/([^\s>]+)\s*>|<([^\s/>!?]+)((?:[^>'"]|'[^']*'|"[^"]*")*?)(\/?)>|([^<]+)/gy
const ATTRIBUTE = /([^\s=]+)\s*=\s*(?:'([^']*)'|"([^"]*)")/g

/** @throws Fault 400 DomainXml where it is no well-formed document of this kind */
export function parseXml(xml: string): Element {
  const root = element('')
  const open = [root]
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < xml.length) {
    const at = TOKEN.lastIndex
    const token = TOKEN.exec(xml)
    const current = open.at(-1)!
    if (!token) throw broken(xml, at)
    const [, cdata, end, start, attributes, empty, text] = token
    if (cdata !== undefined) current.text += cdata
    else if (end !== undefined) {
      if (open.length < 2 || current.name !== end) throw broken(xml, at)
      open.pop()
    } else if (start !== undefined) {
      const child = element(
        start,
        Object.fromEntries(
          [...(attributes ?? '').matchAll(ATTRIBUTE)].map(([, key, single, double]) => [key!, plain(single ?? double ?? '')]),
        ),
      )
      current.children.push(child)
      if (!empty) open.push(child)
    } else if (text !== undefined) current.text += plain(text)
  }
  if (open.length !== 1 || root.children.length !== 1 || root.text.trim()) throw broken(xml, xml.length)
  return root.children[0]!
}

const broken = (xml: string, at: number) => badRequest(`not well-formed XML near "${xml.slice(at, at + 40)}"`, 'DomainXml')

function plain(text: string): string {
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
export const first = (from: Element | undefined, ...path: string[]): Element | undefined => find(from, ...path)[0]
