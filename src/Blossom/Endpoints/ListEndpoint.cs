using System.Globalization;
using Marmot.Blossom.Auth;
using Marmot.Blossom.Index;
using Marmot.Blossom.Refusals;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Endpoints;

/// <summary>GET /list/&lt;pubkey&gt; (BUD-12): newest first, ties by hash, <c>cursor</c> is the last hash of the page before.</summary>
internal sealed class ListEndpoint(TokenGate gate, IBlobIndex index, DescriptorWriter descriptors, IOptions<BlossomOptions> options)
{
    private const int DefaultLimit = 100;
    private const int MaxLimit = 1000;

    public async Task<Refusal?> ListAsync(HttpContext context)
    {
        if (!options.Value.Lists)
        {
            return Refusal.NotOffered("GET /list");
        }

        if (!Bytes32.TryParseHex(context.Request.Path.Value.AsSpan("/list/".Length), out var owner))
        {
            return Refusal.BadRequest("bad_pubkey", "the path must be 64 lower-case hex digits of a public key");
        }

        if (options.Value.ListOwnerOnly || context.Request.Headers.Authorization.Count > 0)
        {
            if (gate.Check(context, BlossomVerb.List, null, out var token) is { } unauthorized)
            {
                return unauthorized;
            }

            if (options.Value.ListOwnerOnly && token!.PublicKey != owner)
            {
                return new Refusal(StatusCodes.Status403Forbidden, "list_owner", "a key may list its own blobs only");
            }
        }

        var query = context.Request.Query;
        Bytes32? after = null;
        if (query["cursor"] is [{ } cursorText])
        {
            if (!Bytes32.TryParseHex(cursorText.AsSpan(), out var cursor))
            {
                return Refusal.BadRequest("bad_cursor", "cursor must be the sha256 of the last blob seen");
            }

            after = cursor;
        }

        var limit = DefaultLimit;
        if (query["limit"] is [{ } limitText] && (!int.TryParse(limitText, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit == 0))
        {
            return Refusal.BadRequest("bad_limit", "limit must be a number above zero");
        }

        if (await index.ListAsync(owner, after, Math.Min(limit, MaxLimit), context.RequestAborted) is not { } page)
        {
            return Refusal.BadRequest("bad_cursor", "cursor is no blob of this list, or was deleted too long ago; begin the list again");
        }

        await descriptors.WriteAsync(context, page);
        return null;
    }
}
