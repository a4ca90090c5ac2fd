using System.Buffers.Binary;
using Marmot.Hosting.Redis;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace Marmot.Hosting.Cluster;

/// <summary>The bus over Redis PUBLISH and SUBSCRIBE. Each message says of which deployment and history it is; those of another are ignored.</summary>
/// <remarks>
/// One loop owns the subscriptions: after each change (a new channel, a connection that came back, another identity) it subscribes to what is missing and waits
/// for a ping on the same connection, so that from then on nothing is missed. What came before may be, and the listeners hear of that gap.
/// </remarks>
public sealed class RedisBus : IClusterBus
{
    // deployment u64, history u64, both big-endian; then the frame that all buses share.
    private const int EnvelopeSize = 16;
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(200);
    private readonly ClusterIdentity _identity;
    private readonly bool _ownsIdentity;
    private readonly ILogger _log;
    private readonly BusSubscriptions _subscriptions;
    private readonly BusCounter _counter;
    private readonly RedisLink _link;
    private readonly Lock _lock = new();
    private readonly Dictionary<(string Prefix, string Channel), ChannelMessageQueue> _queues = [];
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;
    private long _asked = 1;
    private long _settled;
    private int _lost;
    private int _warned;
    private int _isDisposed;

    /// <param name="endpoint">The server.</param>
    /// <param name="prefix">What sets this deployment's channels apart from others on the same server.</param>
    /// <param name="log">For the connection's comings and goings.</param>
    public RedisBus(RedisEndpoint endpoint, string prefix, ILogger log)
        : this(endpoint, ClusterIdentity.Fixed(prefix), log) => _ownsIdentity = true;

    /// <param name="endpoint">The server.</param>
    /// <param name="identity">Which deployment and history this is; until it is known nothing is sent and nothing heard.</param>
    /// <param name="log">For the connection's comings and goings.</param>
    public RedisBus(RedisEndpoint endpoint, ClusterIdentity identity, ILogger log)
    {
        var self = BusFrame.NewSender();
        _identity = identity;
        _log = log;
        _subscriptions = new BusSubscriptions(self);
        _counter = new BusCounter(self);
        identity.Changed += OnIdentityChanged;
        _link = new RedisLink(endpoint, log, OnLinkChanged);
        _loop = Task.Run(RunAsync);
    }

    /// <inheritdoc/>
    public bool IsConnected => _link.IsConnected && Interlocked.Read(ref _settled) == Interlocked.Read(ref _asked);

    /// <inheritdoc/>
    public string? Trouble =>
        IsConnected ? null : _identity.Current is null ? "the database cannot be asked which deployment this is" : _link.Trouble ?? "not subscribed yet";

    /// <inheritdoc/>
    public int MaxMessageBytes => 256 * 1024;

    /// <inheritdoc/>
    public IDisposable Subscribe(string channel, IClusterListener listener)
    {
        var leaving = _subscriptions.Add(channel, listener, isConnected: false);
        AskForRefresh();
        return leaving;
    }

    /// <inheritdoc/>
    public void Publish(string channel, ReadOnlyMemory<byte> message)
    {
        // Under the lock: the numbers and the commands must have one order.
        lock (_lock)
        {
            Send(channel, _counter.Frame(channel, message.Span));
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
        {
            return;
        }

        _identity.Changed -= OnIdentityChanged;
        await _stop.CancelAsync();
        await _loop;
        await _link.DisposeAsync();
        if (_ownsIdentity)
        {
            await _identity.DisposeAsync();
        }

        _stop.Dispose();
        _wake.Dispose();
    }

    private static RedisChannel Name(string prefix, string channel) => RedisChannel.Literal($"{prefix}:bus:{channel}");

    private void Send(string channel, byte[] frame)
    {
        if (_identity.Current is not { } identity || !_link.IsConnected)
        {
            _counter.Dropped(channel);
            return;
        }

        var message = new byte[EnvelopeSize + frame.Length];
        BinaryPrimitives.WriteUInt64BigEndian(message, identity.Deployment);
        BinaryPrimitives.WriteUInt64BigEndian(message.AsSpan(8), identity.History);
        frame.CopyTo(message, EnvelopeSize);
        Task sending;
        try
        {
            sending = _link.Connection.GetSubscriber().PublishAsync(Name(identity.Prefix, channel), message);
        }
        catch (Exception exception) when (exception is RedisException or IOException or ObjectDisposedException)
        {
            _counter.Dropped(channel);
            return;
        }

        _ = sending.ContinueWith(
            static (task, state) =>
            {
                var (bus, channel) = ((RedisBus, string))state!;
                _ = task.Exception;
                lock (bus._lock)
                {
                    bus._counter.Dropped(channel);
                }
            },
            (this, channel),
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously | TaskContinuationOptions.NotOnRanToCompletion,
            TaskScheduler.Default);
    }

    private void OnIdentityChanged() => Lost();

    private void OnLinkChanged(bool isLoss)
    {
        if (isLoss)
        {
            Lost();
        }
        else
        {
            AskForRefresh();
        }
    }

    private void Lost()
    {
        Volatile.Write(ref _lost, 1);
        AskForRefresh();
    }

    private void AskForRefresh()
    {
        Interlocked.Increment(ref _asked);
        try
        {
            _wake.Release();
        }
        catch (Exception exception) when (exception is SemaphoreFullException or ObjectDisposedException)
        {
            // The loop comes by already, or has ended.
        }
    }

    private async Task RunAsync()
    {
        try
        {
            while (true)
            {
                var asked = Interlocked.Read(ref _asked);
                if (asked != Interlocked.Read(ref _settled) && await TryRefreshAsync())
                {
                    Interlocked.Exchange(ref _settled, asked);
                }

                await _wake.WaitAsync(IsConnected ? Timeout.InfiniteTimeSpan : RetryPause, _stop.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
    }

    private async Task<bool> TryRefreshAsync()
    {
        if (_identity.Current is not { } identity || !_link.IsConnected)
        {
            return false;
        }

        try
        {
            var subscriber = _link.Connection.GetSubscriber();
            var missing = _subscriptions.Channels.Where(channel => !_queues.ContainsKey((identity.Prefix, channel))).ToList();
            foreach (var channel in missing)
            {
                var queue = await subscriber.SubscribeAsync(Name(identity.Prefix, channel)).WaitAsync(_stop.Token);
                queue.OnMessage(message => Take(channel, message.Message));
                _queues.Add((identity.Prefix, channel), queue);
            }

            foreach (var (key, queue) in _queues.Where(pair => pair.Key.Prefix != identity.Prefix).ToList())
            {
                await queue.UnsubscribeAsync().WaitAsync(_stop.Token);
                _queues.Remove(key);
            }

            // On the subscriptions' own connection: whatever the library subscribed to again is before it.
            var lost = Interlocked.Exchange(ref _lost, 0) != 0;
            await subscriber.PingAsync().WaitAsync(_stop.Token);
            if (lost)
            {
                _subscriptions.GapEverywhere();
            }
            else
            {
                missing.ForEach(_subscriptions.GapOn);
            }
        }
        catch (Exception exception) when (exception is RedisException or RedisTimeoutException or IOException or ObjectDisposedException)
        {
            Volatile.Write(ref _lost, 1);
            return false;
        }

        lock (_lock)
        {
            foreach (var (channel, frame) in _counter.TakeGaps())
            {
                Send(channel, frame);
            }
        }

        return true;
    }

    private void Take(string channel, ReadOnlyMemory<byte> message)
    {
        if (message.Length < EnvelopeSize || _identity.Current is not { } identity || BinaryPrimitives.ReadUInt64BigEndian(message.Span) != identity.Deployment)
        {
            if (Interlocked.Exchange(ref _warned, 1) == 0)
            {
                ClusterLog.Foreign(_log);
            }

            return;
        }

        if (BinaryPrimitives.ReadUInt64BigEndian(message.Span[8..]) != identity.History)
        {
            // Here or there the database's new history was not noticed yet: its numbers mean nothing, but that something happened does.
            _identity.RefreshSoon();
            _subscriptions.GapOn(channel);
            return;
        }

        _subscriptions.Take(channel, message[EnvelopeSize..]);
    }
}
