using System.Security.Cryptography;
using System.Text;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.ConsolePages;

/// <summary>The operator's console on the admin port: pages made here, that read without a script; who wants to act logs in.</summary>
/// <remarks>
/// Nothing is drawn unless somebody asks; a page in a browser asks again when <c>/live</c> says so. A form acts only with the session's cookie, its token
/// and, where the browser says where it comes from, from this very origin.
/// </remarks>
public sealed class ConsoleServer(
    IEnumerable<IConsolePage> pages, ConsoleSessions sessions, IConfiguration configuration, TimeProvider time, ILogger<ConsoleServer> log)
{
    private const string CookieName = "marmot-console";
    private const int MaxWatchers = 24;
    private const string Policy =
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        + "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

    private static readonly TimeSpan TickInterval = TimeSpan.FromSeconds(5);
    private readonly IConsolePage[] _pages = [.. pages.OrderBy(page => page.Order)];
    private readonly HashSet<Bytes32> _admins =
        [.. configuration.GetSection("Relay:Admins").GetChildren().Select(entry => DecisionActions.TryReadKey(entry.Value ?? "", out var key) ? key : default)
            .Where(key => !key.IsZero)];

    private int _watchers;

    /// <summary>Maps the console into the admin port's application.</summary>
    public void Map(WebApplication app, CancellationToken stopping)
    {
        ArgumentNullException.ThrowIfNull(app);
        app.Use(next => context =>
        {
            WriteSafetyHeaders(context.Response.Headers);
            return next(context);
        });
        app.MapGet("/console.css", context => WriteAsync(context, "text/css; charset=utf-8", ConsoleAssets.Css, "max-age=3600"));
        app.MapGet("/console.js", context => WriteAsync(context, "text/javascript; charset=utf-8", ConsoleAssets.Js, "max-age=3600"));
        app.MapGet("/favicon.ico", context => WriteAsync(context, "image/svg+xml", ConsoleAssets.Icon, "max-age=86400"));
        app.MapGet("/live", context => StreamAsync(context, stopping));
        app.MapGet("/login", context => ShowLoginAsync(context, null));
        app.MapPost("/login", LogInAsync);
        app.MapPost("/logout", LogOutAsync);
        foreach (var page in _pages)
        {
            app.MapGet("/" + page.Path, context => ShowAsync(context, page));
            app.MapPost("/" + page.Path, context => ActAsync(context, page));
        }
    }

    private static void WriteSafetyHeaders(IHeaderDictionary headers)
    {
        headers.ContentSecurityPolicy = Policy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "same-origin"; // with none, browsers say Origin: null of our own forms
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
    }

    private ConsoleSessions.Session? SessionOf(HttpContext context) => sessions.Find(context.Request.Cookies[CookieName]);

    private async Task ShowAsync(HttpContext context, IConsolePage page)
    {
        var session = SessionOf(context);
        if (page.NeedsLogin && session is null)
        {
            context.Response.StatusCode = StatusCodes.Status401Unauthorized;
            await ShowLoginAsync(context, "Log in to see this page.");
            return;
        }

        var html = new HtmlWriter();
        Begin(html, page.Title, page, session);
        if (session?.Outcome is { } outcome)
        {
            session.Outcome = context.Request.Headers.ContainsKey("X-Fragment") ? outcome : null;
            Say(html, outcome);
        }

        try
        {
            await page.WriteAsync(new ConsoleView(html, context.Request.Query, session?.By, session?.Csrf ?? ""), context.RequestAborted);
        }
        catch (Exception exception) when (exception is ArgumentException or IOException)
        {
            Say(html, new ActionOutcome(exception.Message, IsFailure: true));
        }

        End(html);
        await WriteAsync(context, "text/html; charset=utf-8", html.ToString());
    }

    private async Task ActAsync(HttpContext context, IConsolePage page)
    {
        var form = await ReadFormAsync(context);
        if (SessionOf(context) is not { } session || form is null || !IsOurs(context, form, session))
        {
            context.Response.StatusCode = StatusCodes.Status403Forbidden;
            await WriteAsync(context, "text/plain; charset=utf-8", "log in, and act from the console's own pages\n");
            return;
        }

        var action = new ConsoleAction(form["action"].ToString(), form, session.By, form["confirmed"] == "yes");
        ActionOutcome outcome;
        try
        {
            outcome = await page.ActAsync(action, context.RequestAborted);
        }
        catch (Exception exception) when (exception is ArgumentException or IOException)
        {
            outcome = new ActionOutcome(exception.Message, IsFailure: true);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            ConsoleLog.ActionFailed(log, exception);
            outcome = new ActionOutcome("It failed; the log says why.", IsFailure: true);
        }

        if (outcome.NeedsConfirmation)
        {
            await AskAsync(context, page, session, form, outcome);
            return;
        }

        session.Outcome = outcome;
        context.Response.StatusCode = StatusCodes.Status303SeeOther;
        context.Response.Headers.Location = BackTo(page, form);
    }

    // A form may name the query it came from, no other place.
    private static string BackTo(IConsolePage page, IFormCollection form) =>
        form["back"].ToString() is ['?', ..] query ? $"/{page.Path}{query}" : $"/{page.Path}";

    // The same form again, with the answer.
    private async Task AskAsync(HttpContext context, IConsolePage page, ConsoleSessions.Session session, IFormCollection form, ActionOutcome question)
    {
        var html = new HtmlWriter();
        Begin(html, page.Title, page, session);
        html.Add($"""<h1>{question.Text}</h1>""");
        WriteLines(html, question.Lines);
        html.Add($"""<form method="post" action="/{page.Path}" class="act"><input type="hidden" name="csrf" value="{session.Csrf}">""");
        foreach (var (name, values) in form.Where(field => field.Key is not ("csrf" or "confirmed")))
        {
            foreach (var value in values)
            {
                html.Add($"""<input type="hidden" name="{name}" value="{value}">""");
            }
        }

        html.Add($"""<button class="danger" name="confirmed" value="yes">Yes</button> <a href="{BackTo(page, form)}">No, go back</a></form>""");
        End(html);
        await WriteAsync(context, "text/html; charset=utf-8", html.ToString());
    }

    private static async Task<IFormCollection?> ReadFormAsync(HttpContext context)
    {
        try
        {
            return context.Request.HasFormContentType ? await context.Request.ReadFormAsync(context.RequestAborted) : null;
        }
        catch (Exception exception) when (exception is InvalidDataException or BadHttpRequestException)
        {
            return null;
        }
    }

    // Cookies of SameSite=Strict come from our pages only; the token and the origin say it twice more.
    private static bool IsOurs(HttpContext context, IFormCollection form, ConsoleSessions.Session session) =>
        IsOurOrigin(context) && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(form["csrf"].ToString()), Encoding.UTF8.GetBytes(session.Csrf));

    private static bool IsOurOrigin(HttpContext context)
    {
        var headers = context.Request.Headers;
        return (headers.Origin.Count == 0 || headers.Origin == $"{context.Request.Scheme}://{headers.Host}")
            && (headers["Sec-Fetch-Site"].Count == 0 || headers["Sec-Fetch-Site"] == "same-origin" || headers["Sec-Fetch-Site"] == "none");
    }

    private async Task ShowLoginAsync(HttpContext context, string? why)
    {
        var html = new HtmlWriter();
        Begin(html, "Log in", null, SessionOf(context));
        html.Add($"<h1>Log in</h1>");
        if (why is not null)
        {
            html.Add($"""<p class="say bad" role="status">{why}</p>""");
        }

        var code = context.Request.Query["code"].ToString();
        if (code.Length > 0)
        {
            html.Add($"""<form method="post" action="/login" class="act"><input type="hidden" name="code" value="{code}">""");
            html.Add($"""<button>Log in with this one-time link</button></form>""");
        }
        else
        {
            html.Add($"<p>On the server, as its user, <code>marmot-server console login</code> prints a link that works once, for ten minutes.</p>");
            html.Add($"""<form method="post" action="/login" class="act"><div><label for="code">or its code</label>""");
            html.Add($"""<input id="code" name="code" class="wide" autocomplete="off"></div>""");
            html.Add($"<button>Log in</button></form>");
        }

        if (_admins.Count > 0)
        {
            html.Add($"""<h2>With a Nostr key</h2><p>Keys of <code>Relay:Admins</code>, by a browser extension (NIP-07).</p>""");
            html.Add($"""<button id="nip98" data-nonce="{sessions.CreateNonce()}" hidden>Log in with the extension</button>""");
            html.Add($""" <span id="nip98-say" role="status"></span>""");
        }

        End(html);
        await WriteAsync(context, "text/html; charset=utf-8", html.ToString());
    }

    private async Task LogInAsync(HttpContext context)
    {
        if (!IsOurOrigin(context))
        {
            context.Response.StatusCode = StatusCodes.Status403Forbidden;
            return;
        }

        if (context.Request.Headers.Authorization.Count > 0)
        {
            await LogInByKeyAsync(context);
            return;
        }

        var code = (await ReadFormAsync(context))?["code"].ToString().Trim() ?? "";
        if (code.Length == 0 || !sessions.TryTakeCode(code))
        {
            context.Response.StatusCode = StatusCodes.Status403Forbidden;
            await ShowLoginAsync(context, "That code is not the last one made, was used, or is older than ten minutes.");
            return;
        }

        OpenSession(context, "console link");
        context.Response.StatusCode = StatusCodes.Status303SeeOther;
        context.Response.Headers.Location = "/";
    }

    // NIP-98: the URL that is signed holds a nonce of ours, so that the signature is good once.
    private async Task LogInByKeyAsync(HttpContext context)
    {
        var request = context.Request;
        var nonce = request.Query["nonce"].ToString();
        var verdict = Uri.TryCreate($"{request.Scheme}://{request.Headers.Host}{request.Path}{request.QueryString}", UriKind.Absolute, out var url)
            ? HttpAuth.Check(request.Headers.Authorization.ToString(), "POST", url, null, time.GetUtcNow(), out var key)
            : Refuse(out key);
        var refusal = verdict != HttpAuthVerdict.Accepted ? HttpAuth.Describe(verdict)
            : !_admins.Contains(key) ? "this key is not in Relay:Admins"
            : !sessions.TryTakeNonce(nonce) ? "load the page again: this login was used or is too old"
            : null;
        if (refusal is null)
        {
            OpenSession(context, Nip19.EncodePublicKey(key));
        }
        else
        {
            context.Response.StatusCode = StatusCodes.Status403Forbidden;
        }

        await WriteAsync(context, "text/plain; charset=utf-8", refusal ?? "welcome");
    }

    private static HttpAuthVerdict Refuse(out Bytes32 key)
    {
        key = default;
        return HttpAuthVerdict.WrongUrl;
    }

    private void OpenSession(HttpContext context, string by)
    {
        ConsoleLog.LoggedIn(log);
        context.Response.Cookies.Append(CookieName, sessions.Open(by), new CookieOptions
        {
            HttpOnly = true,
            SameSite = SameSiteMode.Strict,
            Secure = context.Request.IsHttps,
            Path = "/",
        });
    }

    private async Task LogOutAsync(HttpContext context)
    {
        if (await ReadFormAsync(context) is { } form && SessionOf(context) is { } session && IsOurs(context, form, session))
        {
            sessions.Close(context.Request.Cookies[CookieName]);
            context.Response.Cookies.Delete(CookieName);
        }

        context.Response.StatusCode = StatusCodes.Status303SeeOther;
        context.Response.Headers.Location = "/";
    }

    // Server-sent events: a tick every few seconds for as long as somebody looks.
    private async Task StreamAsync(HttpContext context, CancellationToken stopping)
    {
        if (Interlocked.Increment(ref _watchers) > MaxWatchers)
        {
            Interlocked.Decrement(ref _watchers);
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
            return;
        }

        try
        {
            context.Response.ContentType = "text/event-stream";
            context.Response.Headers.CacheControl = "no-store";
            using var ended = CancellationTokenSource.CreateLinkedTokenSource(stopping, context.RequestAborted);
            using var timer = new PeriodicTimer(TickInterval, time);
            await context.Response.WriteAsync("retry: 3000\n\n", ended.Token);
            await context.Response.Body.FlushAsync(ended.Token);
            while (await timer.WaitForNextTickAsync(ended.Token))
            {
                await context.Response.WriteAsync("event: tick\ndata: 1\n\n", ended.Token);
                await context.Response.Body.FlushAsync(ended.Token);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or IOException)
        {
            // gone, or stopping
        }
        finally
        {
            Interlocked.Decrement(ref _watchers);
        }
    }

    private void Begin(HtmlWriter html, string title, IConsolePage? current, ConsoleSessions.Session? session)
    {
        html.Add($"""<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">""");
        html.Add($"""<title>{title} - marmot-server</title><link rel="icon" href="/favicon.ico" type="image/svg+xml">""");
        html.Add($"""<link rel="stylesheet" href="/console.css">""");
        html.Add($"""<script src="/console.js" defer></script></head><body><a class="skip" href="#main">Skip to content</a><header><div>""");
        html.Add($"""<b>marmot-server</b><nav aria-label="Pages">""");
        foreach (var page in _pages)
        {
            html.Add($"""<a href="/{page.Path}" """);
            if (page == current)
            {
                html.Add($"""aria-current="page" """);
            }

            html.Add($""">{page.Title}</a>""");
        }

        html.Add($"</nav>");
        if (session is null)
        {
            html.Add($"""<a href="/login">Log in</a>""");
        }
        else
        {
            html.Add($"""<form method="post" action="/logout"><input type="hidden" name="csrf" value="{session.Csrf}"><button>Log out</button></form>""");
        }

        html.Add($"""</div></header><main id="main">""");
    }

    private static void End(HtmlWriter html) => html.Add($"</main></body></html>");

    private static void Say(HtmlWriter html, ActionOutcome outcome)
    {
        html.Add($"""<div class="say {(outcome.IsFailure ? "bad" : "")}" role="status">{outcome.Text}""");
        WriteLines(html, outcome.Lines);
        html.Add($"</div>");
    }

    private static void WriteLines(HtmlWriter html, IReadOnlyList<string>? lines)
    {
        if (lines is { Count: > 0 })
        {
            html.Add($"<ul>");
            foreach (var line in lines)
            {
                html.Add($"<li>{line}</li>");
            }

            html.Add($"</ul>");
        }
    }

    private static Task WriteAsync(HttpContext context, string type, string text, string cache = "no-store")
    {
        context.Response.ContentType = type;
        context.Response.Headers.CacheControl = cache;
        return context.Response.WriteAsync(text, context.RequestAborted);
    }
}
