namespace Marmot.NotifyServer.Providers;

/// <summary>One app's way to one push provider. Implementations are thread-safe and keep their own deadlines.</summary>
internal interface IPushProvider : IDisposable
{
    /// <summary><c>apns</c> or <c>fcm</c>: the platform label of metrics and health.</summary>
    string Name { get; }

    /// <summary>How often a push is repeated that went out and was never answered; the device may have got each of them.</summary>
    int RepeatsAfterTimeout { get; }

    /// <summary>True when the bytes can be a token of this provider; saves a round trip for what cannot.</summary>
    bool IsPlausible(ReadOnlySpan<byte> deviceToken);

    /// <summary>Sends one hint. Never throws for what the network or the provider does; that is the verdict.</summary>
    ValueTask<PushVerdict> SendAsync(PushJob job, CancellationToken cancellationToken);
}
