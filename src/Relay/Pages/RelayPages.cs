using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Messages;
using Marmot.Protocol.RelayDocument;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Pages;

/// <summary>What <c>/</c> says without a WebSocket: NIP-11 to clients, a short page to people.</summary>
internal sealed class RelayPages(IOptions<RelayOptions> options, Moderation moderation, AllowList allowList, RelayIdentity identity, PublicPage page)
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

        await page.ServeAsync(context, identity.ShownUrl(context.Request));
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

    /// <summary>The NIPs that hold with these settings.</summary>
    internal static int[] Supported(RelayOptions options) =>
        [.. AlwaysSupported.Concat(options.Search ? [50] : []).Concat(options.Admins.Length > 0 ? [86] : []).Order()];

    private static RelayInformation Describe(RelayOptions options, ModerationState state, bool isListed) => new()
    {
        Name = state.Name ?? options.Name,
        Description = state.Description ?? options.Description,
        Icon = state.Icon,
        PublicKey = options.PublicKey.Length > 0 ? options.PublicKey : null,
        Contact = options.Contact.Length > 0 ? options.Contact : null,
        SupportedNips = Supported(options),
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
}
