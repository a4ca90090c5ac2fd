namespace Marmot.NotifyServer.Providers;

/// <summary>Whose matter a provider's answer is. Only the last four say anything about the provider or our set-up.</summary>
internal enum PushOutcome
{
    /// <summary>Taken by the provider.</summary>
    Accepted,

    /// <summary>The token is no longer valid, or never was. Strangers can cause this at will.</summary>
    TokenDead,

    /// <summary>The token belongs to another app or project. Strangers can cause this at will.</summary>
    TokenForeign,

    /// <summary>Refused without saying whether the token or our request is at fault. Says nothing of either; not repeated.</summary>
    Unclear,

    /// <summary>This device gets too many; repeat later for this device only.</summary>
    TokenBusy,

    /// <summary>Brown-out, broken connection, time-out: repeat after a pause.</summary>
    Transient,

    /// <summary>The connection is going away; repeat at once on another.</summary>
    Reconnect,

    /// <summary>Our credentials are refused: no push of this app can pass.</summary>
    Credential,

    /// <summary>Our request is wrong: a bug or a wrong setting. Not repeated.</summary>
    Configuration,
}

/// <summary>The sorted answer of a provider.</summary>
/// <param name="Outcome">Whose matter it is.</param>
/// <param name="Reason">The provider's word or ours.</param>
/// <param name="RetryAfter">The provider's wish, or its documented floor; null when there is none.</param>
/// <param name="IsUncertain">The request went out and nobody knows what became of it: a repeat may ring twice.</param>
internal readonly record struct PushVerdict(PushOutcome Outcome, PushReason Reason, TimeSpan? RetryAfter = null, bool IsUncertain = false)
{
    public static readonly PushVerdict Accepted = new(PushOutcome.Accepted, PushReason.Ok);

    public static PushVerdict TimedOut { get; } = new(PushOutcome.Transient, PushReason.Timeout);

    public static PushVerdict Unreachable { get; } = new(PushOutcome.Transient, PushReason.Unreachable);
}
