import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { waitUntil } from './wait.ts'

/** A control group hierarchy as mounted here. */
export interface Hierarchy {
  mountpoint: string
  version: 1 | 2
  /** What `mount -o` needs to mount it again. */
  options: string
  /** The directory of this process's own group in it. */
  own: string
}

/** A group made for an isolation in one hierarchy. */
export interface Group {
  hierarchy: Hierarchy
  /** The isolation's root group, removed with all below it when the isolation is destroyed. */
  directory: string
  /** Where its processes live: version 2 allows none in a group that gives controllers to its children. */
  leaf: string
}

/** The hierarchies that this process can see, read from its mountinfo and cgroup files. */
export function hierarchies(
  mountinfo = readFileSync('/proc/self/mountinfo', 'utf8'),
  ownGroups = readFileSync('/proc/self/cgroup', 'utf8'),
): Hierarchy[] {
  const paths = new Map(
    ownGroups
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const [, controllers, ...path] = line.split(':')
        return [controllers!, path.join(':')]
      }),
  )
  const found = new Map<string, Hierarchy>()
  for (const line of mountinfo.split('\n')) {
    const [mount, source] = line.split(' - ')
    if (!source) continue
    const [, , , root, mountpoint] = mount!.split(' ')
    const [type, , superOptions] = source.split(' ')
    if (type !== 'cgroup' && type !== 'cgroup2') continue
    const names = superOptions!
      .split(',')
      .filter((option) => !/^(rw|ro|xattr|noprefix|clone_children|nsdelegate|memory_\w+|favordynmods|release_agent=.*)$/.test(option))
    const key = type === 'cgroup2' ? '' : names.join(',')
    const path = paths.get(key)
    if (path === undefined) continue
    const options =
      type === 'cgroup2' ? '' : names.some((name) => name.startsWith('name=')) ? ['none', ...names].join(',') : names.join(',')
    // A later mount on the same place hides the earlier one.
    found.set(mountpoint!, {
      mountpoint: mountpoint!,
      version: type === 'cgroup2' ? 2 : 1,
      options,
      own: join(mountpoint!, relative(root!, path)),
    })
  }
  return [...found.values()].filter(({ own }) => existsSync(join(own, 'cgroup.procs')))
}

/**
 * Makes a group `name` in every hierarchy, below this process's own group so that limits set on this process hold there too.
 * A hierarchy that does not let us is left out and `notes` gets a sentence that says so.
 */
export function createGroups(name: string, notes: string[]): Group[] {
  const groups: Group[] = []
  for (const hierarchy of hierarchies()) {
    const directory = join(hierarchy.version === 2 ? delegating(hierarchy) : hierarchy.own, name)
    try {
      mkdirSync(directory, { recursive: true })
      if (existsSync(join(directory, 'cpuset.cpus')) && hierarchy.version === 1) {
        for (const file of ['cpuset.cpus', 'cpuset.mems'])
          writeFileSync(join(directory, file), readFileSync(join(dirname(directory), file)))
      }
      const leaf = hierarchy.version === 2 ? join(directory, 'processes') : directory
      mkdirSync(leaf, { recursive: true })
      groups.push({ hierarchy, directory, leaf })
    } catch (error) {
      notes.push(
        `control groups: ${hierarchy.options || 'version 2'} is left out, ${directory} cannot be made (${(error as NodeJS.ErrnoException).code})`,
      )
    }
  }
  return groups
}

/** In version 2 only a group that passes controllers on is of use as a parent: the nearest one upwards, else our own. */
function delegating({ mountpoint, own }: Hierarchy): string {
  for (let group = own; ; group = dirname(group)) {
    if (passesOn(group)) return group
    if (group === mountpoint || group === '/') return own
  }
}

function passesOn(group: string): boolean {
  try {
    return readFileSync(join(group, 'cgroup.subtree_control'), 'utf8').trim() !== ''
  } catch {
    return false
  }
}

/** Removes the groups with all below them; their processes must have ended. */
export async function removeGroups(directories: string[]): Promise<void> {
  for (const directory of directories) await waitUntil(`control group ${directory} is removed`, () => remove(directory))
}

function remove(directory: string): boolean {
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) if (entry.isDirectory()) remove(join(directory, entry.name))
    rmdirSync(directory)
  } catch (error) {
    // EBUSY: the last process is still leaving.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return false
  }
  return true
}
