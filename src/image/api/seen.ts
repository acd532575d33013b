import type { ApiRequest } from '../../kernel/http/route.ts'
import type { ImageContext } from '../app/context.ts'
import type { Image } from '../app/image.ts'
import { seeImage, type Viewer } from '../app/image.ts'
import type { MemberRow } from '../app/member.ts'

const known = new WeakMap<ApiRequest, Promise<{ image: Image; member: MemberRow | null }>>()

export const viewerOf = (request: ApiRequest): Viewer => ({
  projectId: request.context.projectId,
  isAdmin: request.allowed('context_is_admin'),
})

/** The image that the address names, loaded once for policy and handler. @throws Fault 404 when the caller may not know of it */
export function seen(context: ImageContext, request: ApiRequest): Promise<{ image: Image; member: MemberRow | null }> {
  const loading = known.get(request) ?? seeImage(context, request.params.image_id!, viewerOf(request))
  known.set(request, loading)
  return loading
}

/** What the policy rules look at. */
export const imageTarget = (image: Image, member: MemberRow | null) => ({
  project_id: image.owner,
  owner: image.owner,
  tenant: image.owner,
  member_id: member?.member_id,
  visibility: image.visibility,
  image_id: image.id,
})

/** For Route.target: the image of the address. */
export const targetImage = (context: ImageContext) => async (request: ApiRequest) => {
  const { image, member } = await seen(context, request)
  return imageTarget(image, member)
}
