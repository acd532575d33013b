import { timestamp } from '../../kernel/db/columns.ts'
import { conflict, Fault, forbidden, notFound } from '../../kernel/errors/errors.ts'
import type { Image } from '../db/images.ts'
import { deleteMember, insertMember, listMembers, setMemberStatus } from '../db/members.ts'
import type { MemberRow, MemberStatus } from '../db/tables.ts'
import type { ImageContext } from './context.ts'
import { changing, type Viewer } from './image.ts'

export type { MemberRow }
export const MAX_MEMBERS = 128

const noMember = (image: Image, id: string) => notFound(`${id} not found in the member list of the image ${image.id}.`, 'MemberNotFound')

/** The owner sees all members, a member only itself. */
export async function membersOf(context: ImageContext, image: Image, viewer: Viewer): Promise<MemberRow[]> {
  const members = await listMembers(context.database.db, image.id)
  const all = viewer.isAdmin || image.owner === viewer.projectId
  return all ? members : members.filter((member) => member.member_id === viewer.projectId)
}

/** @throws Fault 404 also for a member that the viewer may not see */
export async function memberOf(context: ImageContext, image: Image, viewer: Viewer, memberId: string): Promise<MemberRow> {
  const member = (await membersOf(context, image, viewer)).find((one) => one.member_id === memberId)
  if (!member) throw noMember(image, memberId)
  return member
}

/** @throws Fault 403 when the image is not shared, 404 when it is gone, 409 when there is such a member, 413 for too many */
export async function addMember(context: ImageContext, { id }: Image, memberId: string): Promise<MemberRow> {
  return await changing(context, id, async (trx, image) => {
    if (image.visibility !== 'shared') throw forbidden(`Not allowed to create members for image ${id}.`)
    const known = await listMembers(trx, id)
    if (known.some((member) => member.member_id === memberId)) throw conflict(`Member ${memberId} is duplicated for image ${id}`)
    if (known.length >= MAX_MEMBERS)
      throw new Fault(
        413,
        'LimitExceeded',
        `The limit has been exceeded on the number of allowed image members for this image. Attempted: ${known.length + 1}, Maximum: ${MAX_MEMBERS}`,
      )
    const at = timestamp()
    const member: MemberRow = { image_id: id, member_id: memberId, status: 'pending', created_at: at, updated_at: at }
    await insertMember(trx, member)
    return member
  })
}

/** @throws Fault 404 when the image is no longer shared with it */
export async function answerMembership(context: ImageContext, image: Image, member: MemberRow, status: MemberStatus): Promise<MemberRow> {
  const at = timestamp()
  if (!(await setMemberStatus(context.database.db, image.id, member.member_id, status, at))) throw noMember(image, member.member_id)
  return { ...member, status, updated_at: at }
}

/** @throws Fault 404 when there is no such member */
export async function removeMember(context: ImageContext, image: Image, memberId: string): Promise<void> {
  if (!(await deleteMember(context.database.db, image.id, memberId))) throw noMember(image, memberId)
}
