namespace Marmot.Hosting.Cluster;

/// <summary>The bus between parts of one process: what several <see cref="InProcessBus"/> of one hub send, all of them hear.</summary>
public sealed class InProcessHub
{
    private readonly Lock _lock = new();
    private readonly List<InProcessBus> _members = [];

    internal void Join(InProcessBus member)
    {
        lock (_lock)
        {
            _members.Add(member);
        }
    }

    internal void Leave(InProcessBus member)
    {
        lock (_lock)
        {
            _members.Remove(member);
        }
    }

    // Under the lock, so that all hear everything in one order.
    internal void Send(Func<(string Channel, byte[] Frame)> number)
    {
        lock (_lock)
        {
            var (channel, frame) = number();
            foreach (var member in _members)
            {
                member.Take(channel, frame);
            }
        }
    }
}

/// <summary>One member of an <see cref="InProcessHub"/>.</summary>
public sealed class InProcessBus : IClusterBus
{
    private readonly InProcessHub _hub;
    private readonly BusSubscriptions _subscriptions;
    private readonly BusCounter _counter;

    /// <summary>Joins the hub.</summary>
    public InProcessBus(InProcessHub hub)
    {
        var self = BusFrame.NewSender();
        _hub = hub;
        _subscriptions = new BusSubscriptions(self);
        _counter = new BusCounter(self);
        hub.Join(this);
    }

    /// <inheritdoc/>
    public bool IsConnected => true;

    /// <inheritdoc/>
    public string? Trouble => null;

    /// <inheritdoc/>
    public int MaxMessageBytes => int.MaxValue;

    /// <inheritdoc/>
    public IDisposable Subscribe(string channel, IClusterListener listener) => _subscriptions.Add(channel, listener, isConnected: true);

    /// <inheritdoc/>
    public void Publish(string channel, ReadOnlyMemory<byte> message) => _hub.Send(() => (channel, _counter.Frame(channel, message.Span)));

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _hub.Leave(this);
        return default;
    }

    internal void Take(string channel, byte[] frame) => _subscriptions.Take(channel, frame);
}
