namespace Marmot.NotifyServer.Triggers;

/// <summary>What became of an encrypted token of a trigger.</summary>
internal enum TokenOutcome
{
    /// <summary>Twice in one trigger.</summary>
    Repeated,

    /// <summary>The same ciphertext came too often.</summary>
    RateLimited,

    /// <summary>Padding, garbage or another server's: they look the same.</summary>
    Skipped,

    Decrypted,
}

/// <summary>Why a token was not pushed.</summary>
internal enum TokenLoss
{
    /// <summary>No loss: another hint for the device stands for this one.</summary>
    Coalesced,

    DeviceRate,
    TokenRate,

    /// <summary>The app has no credentials for that platform.</summary>
    NoProvider,

    /// <summary>No provider would take such a token.</summary>
    Implausible,

    DialectOff,
    ClaimsFull,
    QueueFull,
}
