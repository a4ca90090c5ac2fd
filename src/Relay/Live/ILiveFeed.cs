namespace Marmot.Relay.Live;

/// <summary>Where accepted events go on their way to subscribers: straight to this process's <see cref="FanOut"/>, or by way of the cluster.</summary>
internal interface ILiveFeed
{
    /// <summary>True when all who may listen are in this process, so that an event that nobody wants here is wanted nowhere.</summary>
    bool HasAllListeners { get; }

    /// <summary>Takes one event; waits while too many are on their way.</summary>
    ValueTask PublishAsync(LiveEvent live, CancellationToken cancel);
}
