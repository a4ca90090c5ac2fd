// Drives Debian's Chromium over console and public page. Ends with 0 when every assertion of the scenario held; screenshots go to SHOTS.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { finalizeEvent } from 'nostr-tools/pure'
import { hexToBytes } from 'nostr-tools/utils'

const { ADMIN_URL, PUBLIC_URL, LOGIN_URL, ADMIN_SECRET, EVENT_ID, AUTHOR, BLOB, SHOTS, CHROMIUM } = process.env
const sizes = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } }
const pages = ['', 'events', 'blobs', 'moderation', 'push', 'doctor']
mkdirSync(SHOTS, { recursive: true })
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] })

// A page that fails the scenario when it logs an error, breaks its policy or asks anybody but the server.
async function open(origin, options = {}) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const faults = []
  page.on('console', message => { if (message.type() === 'error' && !page.mayFail) faults.push(message.text()) })
  page.on('pageerror', error => faults.push(String(error)))
  page.on('request', request => { if (!request.url().startsWith(origin) && !request.url().startsWith('data:')) faults.push(`asked ${request.url()}`) })
  page.faults = faults
  return page
}

async function logIn(page) {
  await page.goto(LOGIN_URL)
  await page.getByRole('button', { name: /one-time link/ }).click()
  await page.waitForURL(ADMIN_URL)
}

async function fits(page, name) {
  const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
  assert.ok(wide <= inner, `${name}: the page is ${wide} wide in a window of ${inner}`)
}

async function eachLook(origin, name, path, prepare) {
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ['light', 'dark']) {
      const page = await open(origin, { viewport, colorScheme })
      if (prepare) await prepare(page)
      await page.goto(origin + path)
      await fits(page, `${name} ${size} ${colorScheme}`)
      await page.screenshot({ path: join(SHOTS, `${name}-${size}-${colorScheme}.png`), fullPage: true })
      assert.deepEqual(page.faults, [])
      await page.context().close()
    }
  }
}

const scenarios = {
  async overview() {
    await eachLook(ADMIN_URL, 'overview', '')
    const page = await open(ADMIN_URL)
    const began = Date.now()
    await page.goto(ADMIN_URL)
    assert.ok(Date.now() - began < 5000, 'the first page took seconds')
    for (const text of ['Ready', 'relay', 'media server', 'push server', 'storage', 'Connections', 'OK latency', 'Recent warnings']) {
      assert.ok((await page.locator('main').innerText()).includes(text), `overview says nothing of ${text}`)
    }
    assert.equal(await page.locator('svg.qr').count(), 3)
    assert.ok(await page.locator('svg.plot').count() >= 8)
    await page.getByText('live', { exact: true }).waitFor()
    const before = await page.locator('#live').evaluate(node => { node.dataset.old = '1'; return node.innerText.length })
    assert.ok(before > 0)
    await page.locator('#live:not([data-old])').waitFor({ timeout: 20000 }) // the tick replaced it
    await page.getByRole('link', { name: 'last day' }).click()
    await page.getByRole('heading', { name: 'Last day' }).waitFor()
    assert.deepEqual(page.faults, [])
  },

  async reading_without_script() {
    const page = await open(ADMIN_URL, { javaScriptEnabled: false })
    await page.goto(ADMIN_URL)
    assert.match(await page.locator('main').innerText(), /Ready[\s\S]*Connections/)
    assert.equal(await page.locator('svg.qr').count(), 3)
    await page.goto(LOGIN_URL)
    await page.getByRole('button', { name: /one-time link/ }).click()
    for (const path of pages) {
      await page.goto(ADMIN_URL + path)
      assert.ok(await page.locator('h1').count() === 1, `${path} has no heading`)
    }
    await page.goto(PUBLIC_URL)
    assert.equal(await page.locator('svg.qr').count(), 3)
  },

  async pages_of_who_has_logged_in() {
    const first = await open(ADMIN_URL)
    await first.goto(ADMIN_URL + 'events').catch(() => {})
    assert.match(await first.locator('main').innerText(), /Log in to see this page/)
    first.faults.length = 0 // the 401 itself
    await logIn(first)
    const state = await first.context().storageState()
    for (const path of pages.slice(1)) {
      await eachLook(ADMIN_URL, path, path, page => page.context().addCookies(state.cookies))
    }
    const again = await open(ADMIN_URL)
    await again.goto(LOGIN_URL)
    again.mayFail = true
    await again.getByRole('button', { name: /one-time link/ }).click()
    assert.match(await again.locator('main').innerText(), /was used/) // it works once
  },

  async moderation() {
    const page = await open(ADMIN_URL)
    await logIn(page)
    await page.goto(`${ADMIN_URL}events?author=${AUTHOR}`)
    assert.match(await page.locator('main').innerText(), new RegExp(EVENT_ID))
    await page.screenshot({ path: join(SHOTS, 'events-found.png'), fullPage: true })
    await page.getByLabel(`select ${EVENT_ID}`).check()
    await page.getByRole('button', { name: 'Delete the selected' }).click()
    assert.match(await page.locator('h1').innerText(), /1 events are deleted for good/)
    await page.getByRole('link', { name: 'No, go back' }).click()
    await page.goto(`${ADMIN_URL}events?author=${AUTHOR}`)
    assert.match(await page.locator('main').innerText(), new RegExp(EVENT_ID)) // nothing was deleted
    await page.getByRole('button', { name: 'Delete all that the search finds' }).click()
    await page.getByRole('button', { name: 'Yes' }).click()
    await page.getByText(/events deleted/).waitFor()
    await page.goto(`${ADMIN_URL}events?author=${AUTHOR}`)
    assert.match(await page.locator('main').innerText(), /0 found/)

    await page.goto(`${ADMIN_URL}blobs?hash=${BLOB.slice(0, 12)}`)
    assert.match(await page.locator('main').innerText(), new RegExp(BLOB))
    await page.goto(ADMIN_URL + 'moderation')
    await page.getByLabel('Decision').selectOption('ban-blob')
    await page.getByLabel(/SHA-256/).fill(BLOB)
    await page.getByLabel('Reason').fill('<b>not markup</b>')
    await page.getByRole('button', { name: 'Decide' }).click()
    await page.getByRole('button', { name: 'Yes' }).click()
    await page.getByText(/ban-blob .*: done/).waitFor()
    assert.ok((await page.locator('main').innerText()).includes('<b>not markup</b>'))
    await page.screenshot({ path: join(SHOTS, 'moderation-banned.png'), fullPage: true })
    assert.equal((await fetch(PUBLIC_URL + BLOB)).status, 404)
    await page.getByRole('button', { name: 'unban-blob' }).click()
    await page.getByText(/unban-blob .*: done/).waitFor()

    await page.getByLabel('Decision').selectOption('ban-key')
    await page.getByLabel(/SHA-256/).fill('nonsense')
    await page.getByRole('button', { name: 'Decide' }).click()
    await page.getByText(/expected a public key/).waitFor()
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('link', { name: 'Log in' }).waitFor()
    assert.deepEqual(page.faults, [])
  },

  async login_with_an_extension() {
    const page = await open(ADMIN_URL)
    await page.exposeFunction('signForTest', event => finalizeEvent(event, hexToBytes(ADMIN_SECRET)))
    await page.addInitScript(() => { window.nostr = { signEvent: event => window.signForTest(event) } })
    await page.goto(ADMIN_URL + 'login')
    await page.getByRole('button', { name: 'Log in with the extension' }).click()
    await page.waitForURL(ADMIN_URL)
    await page.goto(ADMIN_URL + 'moderation')
    await page.getByRole('heading', { name: 'Audit trail' }).waitFor()
    assert.deepEqual(page.faults, [])
  },

  async keyboard() {
    const page = await open(ADMIN_URL)
    await page.goto(ADMIN_URL)
    await page.keyboard.press('Tab')
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content')
    const seen = []
    for (let i = 0; i < 7; i++) {
      await page.keyboard.press('Tab')
      seen.push(await page.evaluate(() => document.activeElement.textContent))
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
      assert.notEqual(outline, 'none', `${seen.at(-1)} shows no focus`)
    }
    assert.deepEqual(seen, ['Overview', 'Events', 'Blobs', 'Moderation', 'Push', 'Doctor', 'Log in'])
    await page.keyboard.press('Enter')
    await page.waitForURL(ADMIN_URL + 'login')
    await page.goto(LOGIN_URL)
    await page.getByRole('button', { name: /one-time link/ }).focus()
    await page.keyboard.press('Enter')
    await page.waitForURL(ADMIN_URL)
    assert.deepEqual(page.faults, [])
  },

  async doctor() {
    const page = await open(ADMIN_URL)
    await logIn(page)
    await page.goto(ADMIN_URL + 'doctor')
    await page.getByRole('button', { name: /deployment check/ }).click()
    await page.getByText('The deployment works').waitFor({ timeout: 90000 })
    await page.screenshot({ path: join(SHOTS, 'doctor-done.png'), fullPage: true })
    assert.deepEqual(page.faults, [])
  },

  async public_page() {
    await eachLook(PUBLIC_URL, 'public', '')
    const page = await open(PUBLIC_URL)
    const answer = await page.goto(PUBLIC_URL)
    assert.equal(answer.headers().vary, 'Accept')
    const text = await page.locator('main').innerText()
    for (const expected of ['Sky', 'mailto:op@example.org', 'https://example.org/policy', PUBLIC_URL.replace('http', 'ws').replace(/\/$/, ''), 'npub1', 'NIPs 1,', 'BUDs 1,', 'marmot-server']) {
      assert.ok(text.includes(expected), `the public page says nothing of ${expected}`)
    }
    assert.equal(await page.locator('svg.qr').count(), 3)
    assert.equal((await fetch(PUBLIC_URL, { headers: { accept: 'application/nostr+json' } })).headers.get('content-type'), 'application/nostr+json')
    assert.equal((await fetch(PUBLIC_URL + 'favicon.ico')).headers.get('content-type'), 'image/svg+xml')
    assert.deepEqual(page.faults, [])
  },
}

try {
  await scenarios[process.argv[2]]()
} finally {
  await browser.close()
}
