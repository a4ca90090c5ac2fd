namespace Marmot.Hosting.Admin;

/// <summary>The operator's page: parts and counters, read from <c>/readyz</c> and <c>/metrics</c> every two seconds. No external resources.</summary>
internal static class Dashboard
{
    internal const string Page = """
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>marmot-server</title>
        <style>
          body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222; background: #fff }
          h1 { font-size: 1.3rem } h2 { font-size: 1rem; margin-top: 2rem }
          table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #ddd }
          td:last-child { text-align: right; font-variant-numeric: tabular-nums } #parts td:last-child { text-align: left }
          .no { color: #b00020; font-weight: 600 } .yes { color: #146c2e }
          @media (prefers-color-scheme: dark) {
            body { color: #ddd; background: #161616 } td, th { border-color: #333 } .yes { color: #6fcf97 } .no { color: #ff8a80 }
          }
        </style>
        <h1>marmot-server <span id="ready"></span></h1>
        <h2>Parts</h2><table id="parts"></table>
        <h2>Metrics</h2><table id="metrics"></table>
        <script>
          const row = (table, ...cells) => {
            const tr = table.insertRow()
            for (const c of cells) { const td = tr.insertCell(); td.textContent = c.text ?? c; if (c.cls) td.className = c.cls }
          }
          async function refresh() {
            try {
              const ready = await (await fetch('readyz')).json(), text = await (await fetch('metrics')).text()
              const head = document.getElementById('ready'); head.textContent = ready.ready ? 'ready' : 'not ready'; head.className = ready.ready ? 'yes' : 'no'
              const parts = document.getElementById('parts'); parts.replaceChildren()
              for (const [name, part] of Object.entries(ready.parts)) {
                row(parts, name, { text: part.ready ? 'ready' : 'not ready', cls: part.ready ? 'yes' : 'no' }, part.detail)
              }
              const metrics = document.getElementById('metrics'); metrics.replaceChildren()
              for (const line of text.split('\n')) {
                const at = line.lastIndexOf(' ')
                if (line.startsWith('marmot') && !line.includes('_bucket{')) row(metrics, line.slice(0, at), line.slice(at + 1))
              }
            } catch { const head = document.getElementById('ready'); head.textContent = 'no answer'; head.className = 'no' }
          }
          refresh(); setInterval(refresh, 2000)
        </script>
        </html>
        """;
}
