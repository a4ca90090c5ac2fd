using System.Security.Cryptography;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Auth;

/// <summary>What a server finds when it looks at an HTTP authorisation (NIP-98).</summary>
public enum HttpAuthVerdict
{
    /// <summary>The request is the key's.</summary>
    Accepted,

    /// <summary>No Authorization header.</summary>
    HeaderMissing,

    /// <summary>The header is not <c>Nostr ...</c>.</summary>
    WrongScheme,

    /// <summary>The header is longer than 16 KiB.</summary>
    TooLong,

    /// <summary>Neither base64 nor base64url.</summary>
    NotBase64,

    /// <summary>The decoded bytes are not a well-formed event.</summary>
    NotAnEvent,

    /// <summary>Not kind 27235.</summary>
    WrongKind,

    /// <summary>More than <see cref="ClockTolerance"/> from our clock, either way.</summary>
    CreatedAtOutOfRange,

    /// <summary>No <c>u</c> tag, or another URL.</summary>
    WrongUrl,

    /// <summary>No <c>method</c> tag, or another method.</summary>
    WrongMethod,

    /// <summary>The server wants the body's hash and there is none.</summary>
    PayloadMissing,

    /// <summary>The <c>payload</c> tag is not the body's hash.</summary>
    WrongPayload,

    /// <summary>Id or signature is wrong.</summary>
    BadSignature,
}

/// <summary>Authorisation of one HTTP request by a Nostr key (NIP-98).</summary>
/// <remarks>Thread-safe; bad input is a <see cref="HttpAuthVerdict"/>.</remarks>
public static class HttpAuth
{
    /// <summary>Kind of the authorisation event.</summary>
    public const int Kind = EventKinds.HttpAuth;

    /// <summary>Checks an Authorization header, cheap rules first, the signature last.</summary>
    /// <param name="header">The header's value, empty when absent.</param>
    /// <param name="method">The request's method.</param>
    /// <param name="url">The absolute URL as the client sees it, query included.</param>
    /// <param name="bodySha256">Hash of the body: a <c>payload</c> tag must then be there and equal. Null when there is no body.</param>
    /// <param name="now">Our clock.</param>
    /// <param name="publicKey">Who asks, when accepted.</param>
    public static HttpAuthVerdict Check(
        ReadOnlySpan<char> header, string method, Uri url, Bytes32? bodySha256, DateTimeOffset now, out Bytes32 publicKey)
    {
        publicKey = default;
        var fault = AuthorizationHeader.Read(header, out var evt);
        if (evt is null)
        {
            return fault switch
            {
                AuthorizationHeader.Fault.Missing => HttpAuthVerdict.HeaderMissing,
                AuthorizationHeader.Fault.WrongScheme => HttpAuthVerdict.WrongScheme,
                AuthorizationHeader.Fault.TooLong => HttpAuthVerdict.TooLong,
                AuthorizationHeader.Fault.NotBase64 => HttpAuthVerdict.NotBase64,
                _ => HttpAuthVerdict.NotAnEvent,
            };
        }

        var verdict = CheckTags(evt, method, url, bodySha256, now);
        if (verdict != HttpAuthVerdict.Accepted)
        {
            return verdict;
        }

        if (!evt.TryVerify(out _))
        {
            return HttpAuthVerdict.BadSignature;
        }

        publicKey = evt.PublicKey;
        return HttpAuthVerdict.Accepted;
    }

    /// <summary>Makes a header for a request; an empty body gets no payload tag.</summary>
    public static string CreateHeader(SecretKey key, string method, Uri url, ReadOnlySpan<byte> body, DateTimeOffset now)
    {
        var tags = new List<string[]> { new[] { "u", url.AbsoluteUri }, new[] { "method", method } };
        if (!body.IsEmpty)
        {
            tags.Add(["payload", Convert.ToHexStringLower(SHA256.HashData(body))]);
        }

        return AuthorizationHeader.Write(NostrEvent.Create(key, Kind, tags, string.Empty, now.ToUnixTimeSeconds()), urlSafe: false);
    }

    /// <summary>A sentence for people; empty for <see cref="HttpAuthVerdict.Accepted"/>.</summary>
    public static string Describe(HttpAuthVerdict verdict) => verdict switch
    {
        HttpAuthVerdict.Accepted => string.Empty,
        HttpAuthVerdict.HeaderMissing => "authorization is required",
        HttpAuthVerdict.WrongScheme => "authorization must use the Nostr scheme",
        HttpAuthVerdict.TooLong => "authorization is too long",
        HttpAuthVerdict.NotBase64 => "authorization is not base64",
        HttpAuthVerdict.NotAnEvent => "authorization does not hold a well-formed event",
        HttpAuthVerdict.WrongKind => "the authorization must have kind 27235",
        HttpAuthVerdict.CreatedAtOutOfRange => "created_at is more than ten minutes from the server's clock",
        HttpAuthVerdict.WrongUrl => "the authorization is for another URL",
        HttpAuthVerdict.WrongMethod => "the authorization is for another method",
        HttpAuthVerdict.PayloadMissing => "the payload tag is missing",
        HttpAuthVerdict.WrongPayload => "the payload tag is not the body's hash",
        _ => "the authorization's id or signature does not verify",
    };

    private static HttpAuthVerdict CheckTags(NostrEvent evt, string method, Uri url, Bytes32? bodySha256, DateTimeOffset now)
    {
        if (evt.Kind != Kind)
        {
            return HttpAuthVerdict.WrongKind;
        }

        if (Math.Abs(now.ToUnixTimeSeconds() - evt.CreatedAt) > ClockTolerance.Seconds)
        {
            return HttpAuthVerdict.CreatedAtOutOfRange;
        }

        // Uri folds what RFC 3986 calls equal: host case, default port, an empty path.
        if (!HostName.TryReadUrl(evt.TagValue("u"), out var claimed, out _)
            || !string.Equals(claimed.AbsoluteUri, url.AbsoluteUri, StringComparison.Ordinal))
        {
            return HttpAuthVerdict.WrongUrl;
        }

        if (!string.Equals(evt.TagValue("method"), method, StringComparison.OrdinalIgnoreCase))
        {
            return HttpAuthVerdict.WrongMethod;
        }

        if (bodySha256 is not { } expected)
        {
            return HttpAuthVerdict.Accepted;
        }

        var payload = evt.TagValue("payload");
        if (payload is null)
        {
            return HttpAuthVerdict.PayloadMissing;
        }

        return Bytes32.TryParseHex(payload, out var actual) && actual == expected ? HttpAuthVerdict.Accepted : HttpAuthVerdict.WrongPayload;
    }
}
