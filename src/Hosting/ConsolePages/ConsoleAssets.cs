namespace Marmot.Hosting.ConsolePages;

/// <summary>Style sheet, script and icon of console and public page. Nothing comes from elsewhere.</summary>
internal static class ConsoleAssets
{
    internal const string Css = """
        :root { color-scheme: light dark; --bg: #fff; --fg: #1d2129; --dim: #5c6470; --line: #d8dce2; --card: #f6f7f9;
          --ok: #146c2e; --bad: #b00020; --accent: #0b57d0;
          --c0: #0b57d0; --c1: #b3261e; --c2: #146c2e; --c3: #8a4b00; --c4: #6b2fa0; --c5: #00696b }
        @media (prefers-color-scheme: dark) {
          :root { --bg: #14161a; --fg: #e4e6ea; --dim: #a2a9b4; --line: #343a43; --card: #1c1f25; --ok: #6fcf97; --bad: #ff8a80; --accent: #8ab4f8;
            --c0: #8ab4f8; --c1: #f28b82; --c2: #81c995; --c3: #fdd663; --c4: #c58af9; --c5: #78d9ec } }
        * { box-sizing: border-box }
        body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--fg); background: var(--bg); overflow-wrap: anywhere }
        main { max-width: 72rem; margin: 0 auto; padding: 0 1rem 3rem }
        header { border-bottom: 1px solid var(--line) }
        header div { max-width: 72rem; margin: 0 auto; padding: .6rem 1rem; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; align-items: center }
        header form { margin-left: auto }
        a { color: var(--accent) } nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem } nav a { padding: .3rem 0 }
        nav a[aria-current] { font-weight: 600; text-decoration: none; color: var(--fg) }
        h1 { font-size: 1.4rem; margin: 1.2rem 0 .6rem } h2 { font-size: 1.1rem; margin: 1.8rem 0 .6rem } h3 { font-size: 1rem; margin: 1rem 0 .3rem }
        table { border-collapse: collapse; width: 100% }
        th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line) }
        th { color: var(--dim); font-weight: 500 } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } .scroll { overflow-x: auto }
        .ok { color: var(--ok) } .bad { color: var(--bad) } .dim { color: var(--dim) } code { font: 13px/1.4 ui-monospace, monospace }
        .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem }
        .card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem }
        .qr { width: 9rem; height: 9rem; display: block; margin: .5rem 0 }
        .charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1.2rem }
        figure { margin: 0 } figcaption { font-weight: 600 } svg.plot { width: 100%; height: auto; display: block } .grid { stroke: var(--line) }
        .axis { fill: var(--dim); font-size: 11px }
        .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
        .line.c0 { stroke: var(--c0) } .line.c1 { stroke: var(--c1) } .line.c2 { stroke: var(--c2) } .line.c3 { stroke: var(--c3) }
        .line.c4 { stroke: var(--c4) } .line.c5 { stroke: var(--c5) }
        .legend { list-style: none; margin: .2rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: 13px }
        .key { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin-right: .3rem }
        .key.c0 { background: var(--c0) } .key.c1 { background: var(--c1) } .key.c2 { background: var(--c2) } .key.c3 { background: var(--c3) }
        .key.c4 { background: var(--c4) } .key.c5 { background: var(--c5) }
        form.search, form.act { display: flex; flex-wrap: wrap; gap: .6rem; align-items: end; margin: .6rem 0 }
        label { display: block; font-size: 13px; color: var(--dim) }
        input, select, button { font: inherit; color: var(--fg); background: var(--bg); border: 1px solid var(--dim);
          border-radius: .3rem; padding: .4rem .5rem; max-width: 100% }

        form.search div, form.act div { max-width: 100% }
        input.wide { width: 30rem } button { background: var(--card); cursor: pointer; min-height: 2.2rem }
        button.danger { color: var(--bad); border-color: var(--bad) }
        :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
        .say { border: 1px solid var(--line); border-left: 4px solid var(--ok); background: var(--card); padding: .6rem .8rem; margin: 1rem 0 }
        .say.bad { border-left-color: var(--bad); color: inherit } .say ul { margin: .4rem 0 0; padding-left: 1.2rem }
        .skip { position: absolute; left: -99rem } .skip:focus { left: 1rem }
        """;

    internal const string Js = """
        'use strict'
        // Copy buttons: without a script the address is there to be selected.
        document.addEventListener('click', async event => {
          const button = event.target.closest('button[data-copy]')
          if (!button) return
          try { await navigator.clipboard.writeText(button.dataset.copy); button.textContent = 'copied' } catch { button.textContent = 'select and copy it' }
        })
        for (const button of document.querySelectorAll('button[data-copy]')) button.hidden = false

        // The part of the page that changes is asked for again when the server says so, and only while somebody looks.
        let live = null
        async function refresh() {
          const old = document.getElementById('live')
          try {
            const answer = await fetch(location.href, { headers: { 'X-Fragment': '1' } })
            if (!answer.ok) return
            const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('live')
            if (fresh && old) old.replaceWith(fresh)
            for (const button of document.querySelectorAll('button[data-copy]')) button.hidden = false
          } catch { /* the state line says it */ }
        }
        function state(text, bad) {
          const line = document.getElementById('connection')
          if (line) { line.textContent = text; line.className = bad ? 'bad' : 'dim' }
        }
        function watch() {
          if (live || !document.getElementById('live')) return
          live = new EventSource('/live')
          live.onopen = () => state('live', false)
          live.addEventListener('tick', refresh)
          live.onerror = () => state('no answer from the server', true)
        }
        document.addEventListener('visibilitychange', () => { if (document.hidden) { live?.close(); live = null } else watch() })
        if (!document.hidden) watch()

        // Login by a browser extension (NIP-07) that signs one request (NIP-98).
        const login = document.getElementById('nip98')
        if (login && window.nostr === undefined) addEventListener('load', () => setTimeout(showLogin, 500))
        function showLogin() { if (login && window.nostr) login.hidden = false }
        showLogin()
        login?.addEventListener('click', async () => {
          const say = document.getElementById('nip98-say')
          try {
            const url = location.origin + '/login?nonce=' + login.dataset.nonce
            const tags = [['u', url], ['method', 'POST']]
            const signed = await window.nostr.signEvent({ kind: 27235, created_at: Math.floor(Date.now() / 1000), tags, content: '' })
            const answer = await fetch(url, { method: 'POST', headers: { Authorization: 'Nostr ' + btoa(JSON.stringify(signed)) } })
            if (answer.ok) location.href = '/'; else say.textContent = await answer.text()
          } catch (error) { say.textContent = String(error) }
        })
        """;

    internal const string Icon = """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0b57d0"/>
        <path fill="#fff" d="M6 24V9h4l6 9 6-9h4v15h-4v-8l-6 8-6-8v8z"/></svg>
        """;
}
