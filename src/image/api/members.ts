import { notFound } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import type { ImageContext } from '../app/context.ts'
import { addMember, answerMembership, memberOf, membersOf, removeMember } from '../app/member.ts'
import { MemberList, MemberStatusBody, MemberView, NewMemberBody } from './schemas.ts'
import { seen, targetImage, viewerOf } from './seen.ts'
import { memberView } from './views.ts'

export function memberRoutes(context: ImageContext): Route[] {
  const target = targetImage(context)
  const memberTarget = (request: ApiRequest) => ({ member_id: request.params.member_id })
  return [
    {
      method: 'GET',
      path: '/images/:image_id/members',
      doc: 'List the projects that an image is shared with',
      policy: 'get_members',
      target,
      response: MemberList,
      async handler(request) {
        const { image } = await seen(context, request)
        if (image.visibility !== 'shared') throw notFound('Only shared images have members.')
        const members = await membersOf(context, image, viewerOf(request))
        return { members: members.map(memberView), schema: '/v2/schemas/members' }
      },
    },
    {
      method: 'POST',
      path: '/images/:image_id/members',
      doc: 'Share an image with a project',
      policy: 'add_member',
      target,
      body: NewMemberBody,
      response: MemberView,
      handler: async (request) => memberView(await addMember(context, (await seen(context, request)).image, request.body.member)),
    },
    {
      method: 'GET',
      path: '/images/:image_id/members/:member_id',
      doc: 'Show how a project answered to a shared image',
      policy: 'get_member',
      target,
      response: MemberView,
      async handler(request) {
        const { image } = await seen(context, request)
        return memberView(await memberOf(context, image, viewerOf(request), request.params.member_id!))
      },
    },
    {
      method: 'PUT',
      path: '/images/:image_id/members/:member_id',
      doc: 'Accept or reject a shared image',
      policy: 'modify_member',
      target: memberTarget,
      body: MemberStatusBody,
      response: MemberView,
      async handler(request) {
        const { image } = await seen(context, request)
        const member = await memberOf(context, image, viewerOf(request), request.params.member_id!)
        return memberView(await answerMembership(context, image, member, request.body.status))
      },
    },
    {
      method: 'DELETE',
      path: '/images/:image_id/members/:member_id',
      doc: 'Stop sharing an image with a project',
      policy: 'delete_member',
      target,
      response: 'nothing',
      async handler(request) {
        await removeMember(context, (await seen(context, request)).image, request.params.member_id!)
        return new Reply(undefined, { status: 204 })
      },
    },
  ]
}
