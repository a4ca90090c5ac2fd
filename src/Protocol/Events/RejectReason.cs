namespace Marmot.Protocol.Events;

/// <summary>Why something was refused: a machine-readable prefix and a text for people (NIP-01, OK and CLOSED).</summary>
/// <remarks>The wire form is made by <see cref="ToString"/> and nowhere else. Texts are constants or name a rule; they never repeat what the sender
/// wrote.</remarks>
/// <param name="Prefix">One of the NIP-01 prefixes in <see cref="RejectPrefix"/>.</param>
/// <param name="Text">One sentence without the prefix.</param>
public readonly record struct RejectReason(string Prefix, string Text)
{
    /// <summary>The input breaks a rule of the protocol.</summary>
    public static RejectReason Invalid(string text) => new(RejectPrefix.Invalid, text);

    /// <summary>The relay has this event already.</summary>
    public static RejectReason Duplicate(string text) => new(RejectPrefix.Duplicate, text);

    /// <summary>More proof of work is wanted (NIP-13).</summary>
    public static RejectReason ProofOfWork(string text) => new(RejectPrefix.ProofOfWork, text);

    /// <summary>This author, address or content is not served.</summary>
    public static RejectReason Blocked(string text) => new(RejectPrefix.Blocked, text);

    /// <summary>Too much in too short a time.</summary>
    public static RejectReason RateLimited(string text) => new(RejectPrefix.RateLimited, text);

    /// <summary>Not allowed for the authenticated key (NIP-42).</summary>
    public static RejectReason Restricted(string text) => new(RejectPrefix.Restricted, text);

    /// <summary>Allowed only after authentication (NIP-42).</summary>
    public static RejectReason AuthRequired(string text) => new(RejectPrefix.AuthRequired, text);

    /// <summary>Nobody is listening, so the ephemeral event went nowhere.</summary>
    public static RejectReason Mute(string text) => new(RejectPrefix.Mute, text);

    /// <summary>The relay could not do its work; the same request may succeed later.</summary>
    public static RejectReason Error(string text) => new(RejectPrefix.Error, text);

    /// <summary>The wire form, <c>prefix: text</c>; empty for the default value.</summary>
    public override string ToString() => Prefix is null ? string.Empty : $"{Prefix}: {Text}";
}

/// <summary>The machine-readable prefixes of NIP-01 and NIP-42.</summary>
public static class RejectPrefix
{
    /// <summary>The relay has this event already.</summary>
    public const string Duplicate = "duplicate";

    /// <summary>More proof of work is wanted.</summary>
    public const string ProofOfWork = "pow";

    /// <summary>Refused by a block list.</summary>
    public const string Blocked = "blocked";

    /// <summary>Refused by a rate limit.</summary>
    public const string RateLimited = "rate-limited";

    /// <summary>Breaks a rule of the protocol.</summary>
    public const string Invalid = "invalid";

    /// <summary>Not allowed for this key.</summary>
    public const string Restricted = "restricted";

    /// <summary>Nobody is listening.</summary>
    public const string Mute = "mute";

    /// <summary>The relay's own trouble.</summary>
    public const string Error = "error";

    /// <summary>Authenticate first (NIP-42).</summary>
    public const string AuthRequired = "auth-required";
}
