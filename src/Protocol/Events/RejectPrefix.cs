namespace Marmot.Protocol.Events;

/// <summary>The machine-readable prefixes of OK, CLOSED and NEG-ERR (NIP-01, NIP-42, NIP-50, NIP-77). A closed set, so that a relay's own words never become a
/// metric's label or a line of the log. Wire text: <see cref="RejectPrefixes"/>.</summary>
public enum RejectPrefix
{
    /// <summary>None, or one that no specification names.</summary>
    None,

    /// <summary>The relay has this event already.</summary>
    Duplicate,

    /// <summary>More proof of work is wanted.</summary>
    ProofOfWork,

    /// <summary>Refused by a block list.</summary>
    Blocked,

    /// <summary>Refused by a rate limit.</summary>
    RateLimited,

    /// <summary>Breaks a rule of the protocol.</summary>
    Invalid,

    /// <summary>Not allowed for this key.</summary>
    Restricted,

    /// <summary>Nobody is listening.</summary>
    Mute,

    /// <summary>The relay's own trouble.</summary>
    Error,

    /// <summary>Authenticate first (NIP-42).</summary>
    AuthRequired,

    /// <summary>The relay does not offer this kind of query (NIP-50).</summary>
    Unsupported,

    /// <summary>The reconciliation is not open (NIP-77).</summary>
    Closed,

    /// <summary>Never sent by a relay: no answer came in time.</summary>
    Timeout,

    /// <summary>Never sent by a relay: the connection ended before an answer.</summary>
    Disconnected,
}

/// <summary>The text of each <see cref="RejectPrefix"/>.</summary>
public static class RejectPrefixes
{
    /// <summary>The text on the wire and in metrics; <c>none</c> for <see cref="RejectPrefix.None"/>.</summary>
    public static string Label(this RejectPrefix prefix) => prefix switch
    {
        RejectPrefix.None => "none",
        RejectPrefix.Duplicate => "duplicate",
        RejectPrefix.ProofOfWork => "pow",
        RejectPrefix.Blocked => "blocked",
        RejectPrefix.RateLimited => "rate-limited",
        RejectPrefix.Invalid => "invalid",
        RejectPrefix.Restricted => "restricted",
        RejectPrefix.Mute => "mute",
        RejectPrefix.Error => "error",
        RejectPrefix.AuthRequired => "auth-required",
        RejectPrefix.Unsupported => "unsupported",
        RejectPrefix.Closed => "closed",
        RejectPrefix.Timeout => "timeout",
        RejectPrefix.Disconnected => "disconnected",
        _ => throw new ArgumentOutOfRangeException(nameof(prefix)),
    };

    /// <summary>The prefix with this text; <see cref="RejectPrefix.None"/> for any other, and for those that no relay sends.</summary>
    public static RejectPrefix Read(ReadOnlySpan<char> text) => text switch
    {
        "duplicate" => RejectPrefix.Duplicate,
        "pow" => RejectPrefix.ProofOfWork,
        "blocked" => RejectPrefix.Blocked,
        "rate-limited" => RejectPrefix.RateLimited,
        "invalid" => RejectPrefix.Invalid,
        "restricted" => RejectPrefix.Restricted,
        "mute" => RejectPrefix.Mute,
        "error" => RejectPrefix.Error,
        "auth-required" => RejectPrefix.AuthRequired,
        "unsupported" => RejectPrefix.Unsupported,
        "closed" => RejectPrefix.Closed,
        _ => RejectPrefix.None,
    };

    /// <summary>The prefix of a whole message, <c>prefix: text</c>.</summary>
    public static RejectPrefix Of(string message)
    {
        ArgumentNullException.ThrowIfNull(message);
        var colon = message.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? RejectPrefix.None : Read(message.AsSpan(0, colon));
    }
}
