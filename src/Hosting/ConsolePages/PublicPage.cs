using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.ConsolePages;

/// <summary>What the public port shows to people at <c>/</c>: what runs here, its addresses with QR codes, the operator, protocols and limits. One page,
/// nothing from elsewhere.</summary>
public sealed class PublicPage(IEnumerable<IPublicFacts> facts, IOptions<PublicOptions> options)
{
    private const string Css = """
        :root{color-scheme:light dark}
        body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere;color:#1d2129;background:#fff}
        h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}
        .a{display:flex;flex-wrap:wrap;gap:1rem;align-items:center;border-top:1px solid #8884;padding:.8rem 0}.a div{flex:1 1 16rem}
        .qr{width:8rem;height:8rem}code{font:14px ui-monospace,monospace}table{border-collapse:collapse}
        th,td{text-align:left;vertical-align:top;padding:.25rem 1rem .25rem 0}
        th{font-weight:500;color:#5c6470}a{color:#0b57d0}@media(prefers-color-scheme:dark){body{color:#e4e6ea;background:#14161a}th{color:#a2a9b4}
        a{color:#8ab4f8}}
        """;

    private static readonly string Policy =
        "default-src 'none'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        + $"style-src 'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(Css)))}'";

    private readonly IPublicFacts[] _facts = [.. facts.OrderBy(server => server.Order)];

    /// <summary>The program's version.</summary>
    public static string Version { get; } = (Assembly.GetEntryAssembly() ?? typeof(PublicPage).Assembly).GetName().Version?.ToString(3) ?? "";

    /// <summary>The icon that browsers ask for.</summary>
    public static void MapIcon(WebApplication app) => app.MapGet("/favicon.ico", context =>
    {
        context.Response.ContentType = "image/svg+xml";
        context.Response.Headers.CacheControl = "public, max-age=86400";
        return context.Response.WriteAsync(ConsoleAssets.Icon, context.RequestAborted);
    });

    /// <summary>Answers with the page.</summary>
    /// <param name="context">A request for <c>/</c>.</param>
    /// <param name="shownOrigin">What the addresses begin with; null for <c>Public:Origin</c>, and without one as the caller came here.</param>
    public Task ServeAsync(HttpContext context, string? shownOrigin = null)
    {
        ArgumentNullException.ThrowIfNull(context);
        context.Response.ContentType = "text/html; charset=utf-8";
        context.Response.Headers.Vary = "Accept";
        context.Response.Headers.ContentSecurityPolicy = Policy;
        context.Response.Headers.XContentTypeOptions = "nosniff";
        context.Response.Headers["Referrer-Policy"] = "no-referrer";
        return context.Response.WriteAsync(Write(shownOrigin ?? Origin(context.Request)), context.RequestAborted);
    }

    // Request.Host throws for bad Punycode.
    private string Origin(HttpRequest request) => options.Value.Origin.Length > 0 ? options.Value.Origin : $"{request.Scheme}://{request.Headers.Host}";

    private string Write(string origin)
    {
        origin = HttpOf(origin);
        var html = new HtmlWriter();
        var profile = _facts.Select(server => server.Profile).FirstOrDefault(found => found is not null)
            ?? new PublicProfile("marmot-server", "A server for Marmot groups.", "", "");
        html.Add($"""<!doctype html><html lang="en"><head><meta charset="utf-8">""");
        html.Add($"""<meta name="viewport" content="width=device-width, initial-scale=1"><title>{profile.Name}</title>""");
        html.Add($"""<link rel="icon" href="/favicon.ico" type="image/svg+xml"><style>""");
        html.AddTrusted(Css);
        html.Add($"""</style></head><body><main><h1>{profile.Name}</h1><p>{profile.Description}</p><h2>Addresses for your client</h2>""");
        foreach (var address in _facts.SelectMany(server => server.Addresses(origin)))
        {
            html.Add($"""<div class="a"><div><b>{address.Name}</b><br><code>{address.Value}</code><br>{address.Hint}</div>""");
            QrCode.Write(html, address.Value, $"QR code of the {address.Name} address");
            html.Add($"</div>");
        }

        html.Add($"<h2>Operator</h2><table>");
        Row(html, "Contact", profile.Contact.Length > 0 ? profile.Contact : "not told");
        Row(html, "Key", profile.PublicKey);
        if (options.Value.PolicyUrl.Length > 0)
        {
            html.Add($"""<tr><th scope="row">Policy</th><td><a href="{options.Value.PolicyUrl}" rel="noopener">{options.Value.PolicyUrl}</a></td></tr>""");
        }

        html.Add($"</table><h2>Protocols and limits</h2><table>");
        foreach (var (name, value) in _facts.SelectMany(server => server.Facts()))
        {
            Row(html, name, value);
        }

        Row(html, "Software", $"marmot-server {Version}");
        html.Add($"</table></main></body></html>");
        return html.ToString();
    }

    /// <summary>An origin as http or https.</summary>
    public static string HttpOf(string origin) => origin.TrimEnd('/')
        .Replace("wss://", "https://", StringComparison.OrdinalIgnoreCase).Replace("ws://", "http://", StringComparison.OrdinalIgnoreCase);

    private static void Row(HtmlWriter html, string name, string value)
    {
        if (value.Length > 0)
        {
            html.Add($"""<tr><th scope="row">{name}</th><td>{value}</td></tr>""");
        }
    }
}
