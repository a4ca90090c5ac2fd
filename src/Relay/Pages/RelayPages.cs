using Marmot.Hosting.Moderating;
using Marmot.Protocol.Messages;
using Marmot.Protocol.RelayDocument;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Pages;

/// <summary>What <c>/</c> says without a WebSocket: NIP-11 to clients, a short page to people.</summary>
internal sealed class RelayPages(IOptions<RelayOptions> options, Moderation moderation, AllowList allowList, RelayIdentity identity)
{
    /// <summary>Only what is implemented and tested: docs/conformance.</summary>
    private static readonly int[] AlwaysSupported = [1, 2, 9, 11, 13, 17, 22, 40, 42, 45, 59, 62, 65, 67, 70, 77];

    // The document for the operator's decisions it was written for.
    private volatile Written? _written;

    public async Task ServeAsync(HttpContext context)
    {
        var response = context.Response;
        response.Headers.AccessControlAllowOrigin = "*"; // NIP-11
        response.Headers.AccessControlAllowHeaders = "*";
        response.Headers.AccessControlAllowMethods = "GET, HEAD, OPTIONS";
        response.Headers.Vary = "Accept"; // one URL, a document or a page
        if (HttpMethods.IsOptions(context.Request.Method))
        {
            response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        if (context.Request.Headers.Accept.ToString().Contains(RelayInformationWriter.MediaType, StringComparison.OrdinalIgnoreCase))
        {
            var document = Document();
            response.ContentType = RelayInformationWriter.MediaType;
            response.ContentLength = document.Length;
            await response.Body.WriteAsync(document, context.RequestAborted);
            return;
        }

        response.ContentType = "text/html; charset=utf-8";
        response.Headers.ContentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'";
        await response.WriteAsync(Page(options.Value, moderation.State, identity.ShownUrl(context.Request)), context.RequestAborted);
    }

    private sealed record Written(ModerationState State, byte[] Document);

    private byte[] Document()
    {
        var state = moderation.State;
        if (_written is not { } written || !ReferenceEquals(written.State, state))
        {
            _written = written = new Written(state, RelayInformationWriter.Write(Describe(options.Value, state, allowList.IsSet)));
        }

        return written.Document;
    }

    private static RelayInformation Describe(RelayOptions options, ModerationState state, bool isListed) => new()
    {
        Name = state.Name ?? options.Name,
        Description = state.Description ?? options.Description,
        Icon = state.Icon,
        PublicKey = options.PublicKey.Length > 0 ? options.PublicKey : null,
        Contact = options.Contact.Length > 0 ? options.Contact : null,
        SupportedNips = [.. AlwaysSupported.Concat(options.Search ? [50] : []).Concat(options.Admins.Length > 0 ? [86] : []).Order()],
        Software = "marmot-server",
        Version = typeof(RelayPages).Assembly.GetName().Version?.ToString(3),
        Limitation = new RelayLimitation
        {
            MaxMessageLength = options.MaxMessageBytes,
            MaxSubscriptions = options.MaxSubscriptions,
            MaxFilters = options.MaxFilters,
            MaxLimit = options.MaxLimit,
            DefaultLimit = options.MaxLimit,
            MaxSubscriptionIdLength = ClientMessageReader.MaxSubscriptionIdLength,
            MaxEventTags = options.MaxTags,
            MinPowDifficulty = options.MinProofOfWork,
            AuthRequired = false,
            PaymentRequired = false,
            RestrictedWrites = options.WriteAllowList.Length > 0 || isListed || options.Kinds == RelayKinds.Marmot || options.MinProofOfWork > 0,
            CreatedAtUpperLimit = (long)options.MaxFuture.TotalSeconds,
            GroupEventClockSkew = (long)options.GroupEventClockSkew.TotalSeconds,
        },
        Retention = [.. options.RetentionDays.Select(rule =>
            new RelayRetention(RetentionKinds.Parse(rule.Key), RetentionKinds.Parse(rule.Key), rule.Value * 86400L))],
    };

    private static string Page(RelayOptions options, ModerationState state, string url)
    {
        static string Text(string value) => System.Net.WebUtility.HtmlEncode(value);
        return $"""
            <!doctype html>
            <meta charset="utf-8">
            <title>{Text(state.Name ?? options.Name)}</title>
            <style>body{"{"}font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em{"}"}</style>
            <h1>{Text(state.Name ?? options.Name)}</h1>
            <p>{Text(state.Description ?? options.Description)}</p>
            <p>This is a Nostr relay. Add it to a client as <code>{Text(url)}</code>.</p>
            <p>It serves gift wraps to their recipient only, acknowledges an event when it is on disk, and overwrites what is deleted.</p>
            """;
    }
}
