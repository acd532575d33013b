import RFB from '../novnc/core/rfb.js'

const query = new URLSearchParams(location.search)
const state = document.getElementById('state')
const say = (text, mood) => {
  state.textContent = text
  state.className = mood
}
if (query.get('title')) {
  document.title = query.get('title')
  document.getElementById('name').textContent = query.get('title')
}
const socket = new URL('websockify', location.href)
socket.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:'
// of the path only the token: where the socket is does not depend on who has made the link
const [, own = ''] = (query.get('path') ?? '').split('?')
socket.search = new URLSearchParams({ token: new URLSearchParams(own).get('token') ?? '' })

const rfb = new RFB(document.getElementById('screen'), socket.href, { wsProtocols: ['binary'] })
rfb.scaleViewport = true
rfb.background = '#101317'
rfb.addEventListener('connect', () => say('connected', 'on'))
rfb.addEventListener('disconnect', ({ detail }) =>
  say(
    detail.clean
      ? 'the guest closed its screen'
      : 'no connection: the token is unknown or has expired, or the guest does not run. Ask for a new console.',
    'off',
  ),
)
document.getElementById('cad').onclick = () => rfb.sendCtrlAltDel()
document.getElementById('full').onclick = () => document.documentElement.requestFullscreen()
