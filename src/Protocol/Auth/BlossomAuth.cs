using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Auth;

/// <summary>What a token permits (BUD-11).</summary>
public enum BlossomVerb
{
    /// <summary>GET and HEAD of a blob.</summary>
    Get,

    /// <summary>Upload and mirror.</summary>
    Upload,

    /// <summary>List of a key's blobs.</summary>
    List,

    /// <summary>Deletion.</summary>
    Delete,

    /// <summary>Upload for transcoding.</summary>
    Media,
}

/// <summary>What a Blossom server finds when it looks at a token (BUD-11).</summary>
public enum BlossomAuthVerdict
{
    /// <summary>The token permits the request.</summary>
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

    /// <summary>Not kind 24242.</summary>
    WrongKind,

    /// <summary>Made later than our clock and <see cref="ClockTolerance"/> allow.</summary>
    CreatedInFuture,

    /// <summary>No expiration tag.</summary>
    ExpirationMissing,

    /// <summary>The expiration is no plain number of seconds.</summary>
    ExpirationNotANumber,

    /// <summary>The expiration has passed.</summary>
    Expired,

    /// <summary>No <c>t</c> tag.</summary>
    VerbMissing,

    /// <summary>A <c>t</c> tag for another verb.</summary>
    WrongVerb,

    /// <summary>Server tags, and none is ours.</summary>
    WrongServer,

    /// <summary>The verb needs an <c>x</c> tag and there is none.</summary>
    HashMissing,

    /// <summary>No <c>x</c> tag is the blob's hash.</summary>
    WrongHash,

    /// <summary>Id or signature is wrong.</summary>
    BadSignature,
}

/// <summary>An accepted Blossom token (BUD-11): who asks, and for which blobs.</summary>
/// <remarks>Immutable and thread-safe. One token may serve many requests until it expires; that is by design.</remarks>
public sealed class BlossomAuth
{
    /// <summary>Kind of the token event.</summary>
    public const int Kind = EventKinds.BlossomAuth;

    private readonly List<Bytes32> _hashes;

    private BlossomAuth(NostrEvent evt, long expiresAt, List<Bytes32> hashes)
    {
        Event = evt;
        ExpiresAt = expiresAt;
        _hashes = hashes;
    }

    /// <summary>The verified event.</summary>
    public NostrEvent Event { get; }

    /// <summary>Who signed it; often a key made for this one upload.</summary>
    public Bytes32 PublicKey => Event.PublicKey;

    /// <summary>Unix seconds.</summary>
    public long ExpiresAt { get; }

    /// <summary>The blobs it names; may be empty for get and list.</summary>
    public IReadOnlyList<Bytes32> Hashes => _hashes;

    /// <summary>True when the token names this blob: the check after an upload whose hash was not announced.</summary>
    public bool Covers(in Bytes32 sha256) => _hashes.Contains(sha256);

    /// <summary>Checks an Authorization header, cheap rules first, the signature last.</summary>
    /// <param name="header">The header's value, empty when absent.</param>
    /// <param name="verb">What the request wants.</param>
    /// <param name="sha256">The blob; null when it is not known yet (then call <see cref="Covers"/> later) or there is none.</param>
    /// <param name="serverDomain">Our host name, no port.</param>
    /// <param name="now">Our clock.</param>
    /// <param name="auth">The token when accepted.</param>
    public static BlossomAuthVerdict Check(
        ReadOnlySpan<char> header, BlossomVerb verb, Bytes32? sha256, string serverDomain, DateTimeOffset now, out BlossomAuth? auth) =>
        Check(header, verb, sha256, HostName.TryParse(serverDomain, out var host) ? host : null, now, out auth);

    /// <summary>As the other one; a null <paramref name="server"/> is a server that knows no name of its own, and refuses every token that names one.</summary>
    public static BlossomAuthVerdict Check(
        ReadOnlySpan<char> header, BlossomVerb verb, Bytes32? sha256, HostName? server, DateTimeOffset now, out BlossomAuth? auth)
    {
        auth = null;
        var fault = AuthorizationHeader.Read(header, out var evt);
        if (evt is null)
        {
            return fault switch
            {
                AuthorizationHeader.Fault.Missing => BlossomAuthVerdict.HeaderMissing,
                AuthorizationHeader.Fault.WrongScheme => BlossomAuthVerdict.WrongScheme,
                AuthorizationHeader.Fault.TooLong => BlossomAuthVerdict.TooLong,
                AuthorizationHeader.Fault.NotBase64 => BlossomAuthVerdict.NotBase64,
                _ => BlossomAuthVerdict.NotAnEvent,
            };
        }

        var verdict = CheckTags(evt, verb, sha256, server, now.ToUnixTimeSeconds(), out var expiresAt, out var hashes);
        if (verdict != BlossomAuthVerdict.Accepted)
        {
            return verdict;
        }

        if (!evt.TryVerify(out _))
        {
            return BlossomAuthVerdict.BadSignature;
        }

        auth = new BlossomAuth(evt, expiresAt, hashes);
        return BlossomAuthVerdict.Accepted;
    }

    /// <summary>Makes a header for a request.</summary>
    /// <param name="key">Who asks.</param>
    /// <param name="verb">What for.</param>
    /// <param name="hashes">The blobs; empty for list, optional for get.</param>
    /// <param name="serverDomain">Bind the token to this host; null for any server.</param>
    /// <param name="now">The clock.</param>
    /// <param name="lifetime">How long it holds.</param>
    public static string CreateHeader(
        SecretKey key, BlossomVerb verb, ReadOnlySpan<Bytes32> hashes, string? serverDomain, DateTimeOffset now, TimeSpan lifetime)
    {
        var tags = new List<string[]>
        {
            new[] { "t", NameOf(verb) },
            new[] { "expiration", now.Add(lifetime).ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture) },
        };
        foreach (var hash in hashes)
        {
            tags.Add(["x", hash.ToString()]);
        }

        if (serverDomain is not null)
        {
            tags.Add(["server", serverDomain.ToLowerInvariant()]);
        }

        var evt = NostrEvent.Create(key, Kind, tags, $"Blossom {NameOf(verb)}", now.ToUnixTimeSeconds());
        return AuthorizationHeader.Write(evt, urlSafe: true);
    }

    /// <summary>A sentence for X-Reason; empty for <see cref="BlossomAuthVerdict.Accepted"/>.</summary>
    public static string Describe(BlossomAuthVerdict verdict) => verdict switch
    {
        BlossomAuthVerdict.Accepted => string.Empty,
        BlossomAuthVerdict.HeaderMissing => "authorization is required",
        BlossomAuthVerdict.WrongScheme => "authorization must use the Nostr scheme",
        BlossomAuthVerdict.TooLong => "authorization is too long",
        BlossomAuthVerdict.NotBase64 => "authorization is not base64url",
        BlossomAuthVerdict.NotAnEvent => "authorization does not hold a well-formed event",
        BlossomAuthVerdict.WrongKind => "the token must have kind 24242",
        BlossomAuthVerdict.CreatedInFuture => "the token was created in the future",
        BlossomAuthVerdict.ExpirationMissing => "the token has no expiration tag",
        BlossomAuthVerdict.ExpirationNotANumber => "the token's expiration tag is not an integer of unix seconds",
        BlossomAuthVerdict.Expired => "the token has expired",
        BlossomAuthVerdict.VerbMissing => "the token has no t tag",
        BlossomAuthVerdict.WrongVerb => "the token is for another action",
        BlossomAuthVerdict.WrongServer => "the token is for another server",
        BlossomAuthVerdict.HashMissing => "the token has no x tag",
        BlossomAuthVerdict.WrongHash => "the token does not name this blob",
        _ => "the token's id or signature does not verify",
    };

    /// <summary>The word in the <c>t</c> tag.</summary>
    public static string NameOf(BlossomVerb verb) => verb switch
    {
        BlossomVerb.Get => "get",
        BlossomVerb.Upload => "upload",
        BlossomVerb.List => "list",
        BlossomVerb.Delete => "delete",
        _ => "media",
    };

    private static BlossomAuthVerdict CheckTags(
        NostrEvent evt, BlossomVerb verb, Bytes32? sha256, HostName? server, long now, out long expiresAt, out List<Bytes32> hashes)
    {
        expiresAt = 0;
        hashes = [];
        if (evt.Kind != Kind)
        {
            return BlossomAuthVerdict.WrongKind;
        }

        if (evt.CreatedAt > now + ClockTolerance.Seconds)
        {
            return BlossomAuthVerdict.CreatedInFuture;
        }

        if (evt.TagValue("expiration") is not { } expiration)
        {
            return BlossomAuthVerdict.ExpirationMissing;
        }

        if (!long.TryParse(expiration, NumberStyles.None, CultureInfo.InvariantCulture, out expiresAt))
        {
            return BlossomAuthVerdict.ExpirationNotANumber;
        }

        if (expiresAt <= now)
        {
            return BlossomAuthVerdict.Expired;
        }

        // One walk over the tags. A second t tag for another verb is refused: BUD-11 wants exactly one.
        bool hasVerb = false, onlyThisVerb = true, hasServer = false, ourServer = false, hasHash = false;
        foreach (var tag in evt.Tags)
        {
            if (tag.Length < 2)
            {
                continue;
            }

            switch (tag[0])
            {
                case "t":
                    hasVerb = true;
                    onlyThisVerb &= tag[1] == NameOf(verb);
                    break;
                case "server":
                    hasServer = true;
                    ourServer |= IsHost(tag[1], server);
                    break;
                case "x":
                    hasHash = true;
                    if (Bytes32.TryParseHex(tag[1], out var hash))
                    {
                        hashes.Add(hash);
                    }

                    break;
            }
        }

        if (!hasVerb)
        {
            return BlossomAuthVerdict.VerbMissing;
        }

        if (!onlyThisVerb)
        {
            return BlossomAuthVerdict.WrongVerb;
        }

        if (hasServer && !ourServer)
        {
            return BlossomAuthVerdict.WrongServer;
        }

        var needsHash = verb is BlossomVerb.Upload or BlossomVerb.Delete or BlossomVerb.Media;
        if (needsHash && !hasHash)
        {
            return BlossomAuthVerdict.HashMissing;
        }

        return hasHash && sha256 is { } wanted && !hashes.Contains(wanted)
            ? BlossomAuthVerdict.WrongHash
            : BlossomAuthVerdict.Accepted;
    }

    // BUD-11 says domain only; older clients send a whole URL or add the port, so reduce to the host.
    private static bool IsHost(string tag, HostName? server) =>
        server is { } ours
        && (tag.Contains("://", StringComparison.Ordinal)
            ? Uri.TryCreate(tag, UriKind.Absolute, out var uri) && uri.UserInfo.Length == 0 && HostName.TryFrom(uri, out var named)
            : HostName.TryParse(tag, out named) || HostName.TryParseWithPort(tag.AsSpan().TrimEnd('/'), out named, out _))
        && named == ours;
}
