using System.Security.Cryptography;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Protocol.Auth;

/// <summary>What a relay finds when it looks at an AUTH event (NIP-42).</summary>
public enum RelayAuthVerdict
{
    /// <summary>The connection may act as the event's key.</summary>
    Accepted,

    /// <summary>Not kind 22242.</summary>
    WrongKind,

    /// <summary>More than ten minutes from our clock, either way.</summary>
    CreatedAtOutOfRange,

    /// <summary>No challenge tag.</summary>
    ChallengeMissing,

    /// <summary>Another connection's challenge, or an old one.</summary>
    WrongChallenge,

    /// <summary>No relay tag.</summary>
    RelayMissing,

    /// <summary>Meant for another relay: someone may be passing it on.</summary>
    WrongRelay,

    /// <summary>Id or signature is wrong.</summary>
    BadSignature,
}

/// <summary>Authentication of clients to relays (NIP-42).</summary>
/// <remarks>Thread-safe; bad input is a <see cref="RelayAuthVerdict"/>. Relays neither store nor pass on these events.</remarks>
public static class RelayAuth
{
    /// <summary>Kind of the AUTH event.</summary>
    public const int Kind = EventKinds.RelayAuth;

    /// <summary>A challenge for one connection: 128 random bits as hex.</summary>
    public static string CreateChallenge() => RandomNumberGenerator.GetHexString(32, lowercase: true);

    /// <summary>Checks an AUTH event, cheap rules first, the signature last.</summary>
    /// <param name="evt">The event; only its shape is known to be right.</param>
    /// <param name="challenge">What this connection was sent.</param>
    /// <param name="relayUrl">Our own URL; its host must be the one in the event.</param>
    /// <param name="now">Our clock.</param>
    public static RelayAuthVerdict Check(in NostrEventView evt, string challenge, string relayUrl, DateTimeOffset now) =>
        Check(evt, challenge, [relayUrl], now);

    /// <summary>Checks an AUTH event at a relay that is known under several URLs.</summary>
    public static RelayAuthVerdict Check(in NostrEventView evt, string challenge, ReadOnlySpan<string> relayUrls, DateTimeOffset now)
    {
        if (evt.Kind != Kind)
        {
            return RelayAuthVerdict.WrongKind;
        }

        if (Math.Abs(now.ToUnixTimeSeconds() - evt.CreatedAt) > ClockTolerance.Seconds)
        {
            return RelayAuthVerdict.CreatedAtOutOfRange;
        }

        string? claimedChallenge = null, claimedRelay = null;
        foreach (var tag in evt.Tags)
        {
            if (tag.HasValue && claimedChallenge is null && tag.Name.SequenceEqual("challenge"u8))
            {
                claimedChallenge = JsonText.Decode(tag.Value);
            }
            else if (tag.HasValue && claimedRelay is null && tag.Name.SequenceEqual("relay"u8))
            {
                claimedRelay = JsonText.Decode(tag.Value);
            }
        }

        if (claimedChallenge is null)
        {
            return RelayAuthVerdict.ChallengeMissing;
        }

        if (!string.Equals(claimedChallenge, challenge, StringComparison.Ordinal))
        {
            return RelayAuthVerdict.WrongChallenge;
        }

        if (claimedRelay is null)
        {
            return RelayAuthVerdict.RelayMissing;
        }

        if (!IsOneOf(claimedRelay, relayUrls))
        {
            return RelayAuthVerdict.WrongRelay;
        }

        return EventVerifier.TryVerify(evt, out _) ? RelayAuthVerdict.Accepted : RelayAuthVerdict.BadSignature;
    }

    /// <summary>Makes the client's answer to a challenge.</summary>
    public static NostrEvent Create(SecretKey key, string relayUrl, string challenge, DateTimeOffset now) =>
        NostrEvent.Create(key, Kind, [["relay", relayUrl], ["challenge", challenge]], string.Empty, now.ToUnixTimeSeconds());

    /// <summary>What the client is told; default for <see cref="RelayAuthVerdict.Accepted"/>.</summary>
    public static RejectReason ToReason(RelayAuthVerdict verdict) => verdict switch
    {
        RelayAuthVerdict.Accepted => default,
        RelayAuthVerdict.WrongKind => RejectReason.Invalid("an AUTH event has kind 22242"),
        RelayAuthVerdict.CreatedAtOutOfRange => RejectReason.Invalid("created_at is more than ten minutes from the relay's clock"),
        RelayAuthVerdict.ChallengeMissing => RejectReason.Invalid("the challenge tag is missing"),
        RelayAuthVerdict.WrongChallenge => RejectReason.Invalid("the challenge is not this connection's"),
        RelayAuthVerdict.RelayMissing => RejectReason.Invalid("the relay tag is missing"),
        RelayAuthVerdict.WrongRelay => RejectReason.Invalid("the relay tag names another relay"),
        _ => RejectReason.Invalid("id or signature does not verify"),
    };

    // NIP-42: comparing the domain is enough; the parsed host, never a piece of the text.
    private static bool IsOneOf(string claimed, ReadOnlySpan<string> relayUrls)
    {
        if (!HostName.TryReadUrl(claimed, out _, out var host))
        {
            return false;
        }

        foreach (var url in relayUrls)
        {
            if (HostName.TryReadUrl(url, out _, out var ours) && host == ours)
            {
                return true;
            }
        }

        return false;
    }
}
