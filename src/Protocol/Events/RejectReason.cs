namespace Marmot.Protocol.Events;

/// <summary>Why something was refused: a machine-readable prefix and a text for people (NIP-01, OK and CLOSED).</summary>
/// <remarks>The wire form is made by <see cref="ToString"/> and nowhere else. Texts are constants or name a rule; they never repeat what the sender
/// wrote.</remarks>
/// <param name="Prefix">The machine-readable part; <see cref="RejectPrefix.None"/> for a text that has none.</param>
/// <param name="Text">One sentence without the prefix.</param>
public readonly record struct RejectReason(RejectPrefix Prefix, string Text)
{
    /// <summary>True for the default value: nothing was refused.</summary>
    public bool IsNone => Text is null;

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
    public override string ToString() => Prefix == RejectPrefix.None ? Text ?? string.Empty : $"{Prefix.Label()}: {Text}";
}
