namespace Marmot.Hosting.Cluster;

/// <summary>Messages from each replica to all the others, now or never: nothing is kept for one that is away.</summary>
/// <remarks>
/// What is promised: a listener hears the messages of one sender in their order, each at most once, never its own; and after any moment in
/// which it may have missed one it hears <see cref="IClusterListener.OnGap"/>, so that it can catch up from what is stored.
/// </remarks>
public interface IClusterBus : IAsyncDisposable
{
    /// <summary>True while messages can go out and come in.</summary>
    bool IsConnected { get; }

    /// <summary>Why it is not connected, in a few words without addresses; null while it is.</summary>
    string? Trouble { get; }

    /// <summary>Larger messages are better sent as a hint to what is stored.</summary>
    int MaxMessageBytes { get; }

    /// <summary>Listens until disposed. Called from one thread at a time a listener.</summary>
    IDisposable Subscribe(string channel, IClusterListener listener);

    /// <summary>Hands a message over without waiting for anybody; while the bus is down it is dropped, and listeners hear of the gap later.</summary>
    void Publish(string channel, ReadOnlyMemory<byte> message);
}

/// <summary>Takes what other replicas send. Must return quickly and must not throw.</summary>
public interface IClusterListener
{
    /// <summary>A message; the bytes are its own to keep.</summary>
    void OnMessage(ReadOnlyMemory<byte> message);

    /// <summary>Messages may have been missed before this moment. Also called when the bus connects first.</summary>
    void OnGap();
}
