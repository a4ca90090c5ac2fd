using System.Threading.Channels;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Postgres;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Marmot.Relay.Live;

/// <summary>The live events of all replicas in one order: this one's own and the others', each once, by arrival number.</summary>
/// <remarks>
/// Arrival numbers are committed in order and without holes, so the feed knows at once when it misses something, and reads it from the
/// store. The bus only makes it quick: what the bus loses, or everything while it is down, comes by looking at the newest number every
/// <see cref="ClusterOptions.PollInterval"/>. One loop owns the position. It also is who waits for a database that is away at the start.
/// A number is believed only of the history that the database is of: messages of another (another deployment on the same bus, a replica that has not noticed a
/// restore yet) are left alone, and a position ahead of the database's own makes the database begin a new history above it (decision 17).
/// </remarks>
internal sealed class ClusterFeed : BackgroundService, ILiveFeed, IClusterListener
{
    public const string Channel = "events";
    private const int MaxDrained = 500;
    private const int CatchUpPage = 500;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    /// <summary>How long a start waits for the database before it goes on without.</summary>
    private static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(5);

    /// <summary>How long what was stored here may take to be delivered here before the relay is not ready.</summary>
    private static readonly TimeSpan DeliveryPatience = TimeSpan.FromSeconds(5);

    private readonly PostgresEventStore _store;
    private readonly Moderation _moderation;
    private readonly FanOut _fanOut;
    private readonly IClusterBus _bus;
    private readonly ClusterIdentity _identity;
    private readonly TimeSpan _pollInterval;
    private readonly TimeProvider _clock;
    private readonly RelayMetrics _metrics;
    private readonly ILogger<ClusterFeed> _log;
    private readonly Channel<LiveEvent> _own = System.Threading.Channels.Channel.CreateBounded<LiveEvent>(
        new BoundedChannelOptions(8192) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });

    private readonly Channel<ReadOnlyMemory<byte>> _foreign = System.Threading.Channels.Channel.CreateBounded<ReadOnlyMemory<byte>>(
        new BoundedChannelOptions(1024) { SingleReader = true });

    private readonly Lock _checking = new(); // of _expected and _expectedSince
    private readonly SemaphoreSlim _wake = new(0, 1);
    private readonly TaskCompletionSource _tried = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _isPrepared;
    private bool _isLost;
    private bool _heardForeign;
    private Guid _history;
    private ulong _delivered;
    private ulong _written;
    private ulong _expected;
    private long _expectedSince;
    private volatile bool _mayMiss = true;
    private volatile string? _failure = "PostgreSQL has not been reached yet";

    public ClusterFeed(PostgresEventStore store, Moderation moderation, FanOut fanOut, IClusterBus bus, ClusterIdentity identity,
        IOptions<ClusterOptions> options, TimeProvider clock, RelayMetrics metrics, ILogger<ClusterFeed> log)
    {
        (_store, _moderation, _fanOut, _bus, _identity, _pollInterval, _clock, _metrics, _log) =
            (store, moderation, fanOut, bus, identity, options.Value.PollInterval, clock, metrics, log);
    }

    /// <summary>Why the store could not be asked when it was last looked at; null when it could.</summary>
    public string? StoreFailure => _failure;

    public bool HasAllListeners => false;

    /// <summary>What was stored here and has not been delivered here for too long, for the operator; null when nothing is.</summary>
    public string? DeliveryFailure
    {
        get
        {
            lock (_checking)
            {
                var delivered = Volatile.Read(ref _delivered);
                if (delivered >= _expected)
                {
                    (_expected, _expectedSince) = (Volatile.Read(ref _written), _clock.GetTimestamp());
                    return null;
                }

                return _clock.GetElapsedTime(_expectedSince) > DeliveryPatience
                    ? $"live delivery is {Volatile.Read(ref _written) - delivered} events behind what was stored"
                    : null;
            }
        }
    }

    public async ValueTask PublishAsync(LiveEvent live, CancellationToken cancel)
    {
        if (live.Arrival == 0)
        {
            // Ephemeral: stored nowhere, so the others hear it now or never.
            _bus.Publish(Channel, FeedMessage.WriteEphemeral(_store.History, live.Record));
            await _fanOut.PublishAsync(live, cancel);
            return;
        }

        Volatile.Write(ref _written, live.Arrival);
        await _own.Writer.WriteAsync(live, cancel);
        Wake();
    }

    public void OnMessage(ReadOnlyMemory<byte> message)
    {
        if (!_foreign.Writer.TryWrite(message))
        {
            _mayMiss = true; // full: what is stored comes from the store
        }

        Wake();
    }

    public void OnGap()
    {
        _mayMiss = true;
        Wake();
    }

    /// <summary>Returns when the database was reached, or could not be: then the relay starts without it, says so and waits for it.</summary>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await base.StartAsync(cancellationToken);
        await Task.WhenAny(_tried.Task, Task.Delay(StartPatience, cancellationToken));
    }

    public override void Dispose()
    {
        _wake.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var listening = _bus.Subscribe(Channel, this);
        var own = new List<LiveEvent>(MaxDrained);
        var polled = _clock.GetTimestamp();
        var pause = FirstPause;
        while (true)
        {
            try
            {
                // 0. Nothing is stored and nobody subscribes before the database was reached, so the live events begin with its newest number.
                if (!_isPrepared)
                {
                    Volatile.Write(ref _delivered, await _store.PrepareAsync(stoppingToken, _moderation.RefreshAsync)); // so that no banned key slips in
                    _isPrepared = true;
                    NoticeHistory();
                    Succeeded();
                }

                await _wake.WaitAsync(_pollInterval, stoppingToken);

                // 1. Look at the newest number when something may be missing, and every now and then.
                if (_mayMiss || _clock.GetElapsedTime(polled) >= _pollInterval)
                {
                    _mayMiss = false;
                    polled = _clock.GetTimestamp();
                    await CatchUpAsync(await ReadHeadAsync(stoppingToken), stoppingToken);
                    NoticeHistory();
                    Succeeded();
                    pause = FirstPause;
                }

                // 2. Our own: told to the others first, since they have the longer way.
                while (Drain(own))
                {
                    Tell(own);
                    foreach (var live in own)
                    {
                        await DeliverAsync(live, stoppingToken);
                    }
                }

                // 3. The others'.
                while (_foreign.Reader.TryRead(out var message))
                {
                    await TakeAsync(message, stoppingToken);
                }
            }
            catch (IOException exception)
            {
                // What was not delivered is in the store behind the position, and comes when the store can be read again.
                Failed(exception);
                _mayMiss = true;
                // Replicas that lost the server together do not come back together.
                await Task.Delay(pause * (0.5 + (Random.Shared.NextDouble() / 2)), stoppingToken);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
            catch (Exception exception) when (exception is not OperationCanceledException)
            {
                _log.LoopFailed(nameof(ClusterFeed), exception);
                _mayMiss = true;
                await Task.Delay(TimeSpan.FromMilliseconds(100), stoppingToken);
            }
        }
    }

    private void Failed(IOException exception)
    {
        if (!_isLost)
        {
            _isLost = true;
            _log.StoreLost(exception.Message);
        }

        _failure = exception.InnerException switch
        {
            PostgresException refused => "PostgreSQL refuses: " + refused.SqlState,
            null or NpgsqlException or TimeoutException or System.Net.Sockets.SocketException
                or InvalidOperationException { InnerException: NpgsqlException } => "PostgreSQL cannot be reached",
            _ => "PostgreSQL answers nonsense",
        };
        _tried.TrySetResult();
    }

    private void Succeeded()
    {
        if (_isLost)
        {
            _isLost = false;
            _log.StoreBack();
        }

        _failure = null;
        _tried.TrySetResult();
    }

    private void Wake()
    {
        try
        {
            if (_wake.CurrentCount == 0)
            {
                _wake.Release();
            }
        }
        catch (Exception exception) when (exception is SemaphoreFullException or ObjectDisposedException)
        {
            // Somebody else woke it, or it has ended.
        }
    }

    private bool Drain(List<LiveEvent> into)
    {
        into.Clear();
        while (into.Count < MaxDrained && _own.Reader.TryRead(out var live))
        {
            into.Add(live);
        }

        return into.Count > 0;
    }

    // Runs of numbers without a hole go as they are; a replica that has all before them needs nothing from the store.
    private void Tell(List<LiveEvent> own)
    {
        var all = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(own);
        for (var start = 0; start < all.Length;)
        {
            var end = start + 1;
            while (end < all.Length && all[end].Arrival == all[end - 1].Arrival + 1)
            {
                end++;
            }

            _bus.Publish(Channel, FeedMessage.WriteArrivals(_store.History, all[start..end], _bus.MaxMessageBytes));
            start = end;
        }
    }

    private async Task TakeAsync(ReadOnlyMemory<byte> message, CancellationToken cancel)
    {
        if (!FeedMessage.TryReadHead(message.Span, out var kind, out var history))
        {
            _mayMiss = true; // of another version: what it told is in the store
            return;
        }

        if (history != _store.History)
        {
            _mayMiss = true; // after a restore, another replica may have noticed it first
            if (!_heardForeign)
            {
                _heardForeign = true;
                _log.ForeignMessage();
            }

            return;
        }

        switch (kind)
        {
            case FeedMessage.Arrivals:
                foreach (var live in FeedMessage.ReadArrivals(message.Span))
                {
                    if (!StoreEntrance.MayHold(live.Record.Kind))
                    {
                        continue; // the database has refused it, or of an earlier version has not
                    }

                    if (live.Record.Kind is EventKinds.Deletion or EventKinds.Vanish)
                    {
                        _store.ForgetKnown();
                    }

                    await DeliverAsync(live, cancel);
                }

                break;
            case FeedMessage.Hint:
                await CatchUpAsync(FeedMessage.ReadHint(message.Span), cancel);
                break;
            case FeedMessage.Ephemeral when FeedMessage.ReadEphemeral(message.Span) is { } record:
                await _fanOut.PublishAsync(new LiveEvent(record, Arrival: 0), cancel);
                break;
        }
    }

    private async ValueTask DeliverAsync(LiveEvent live, CancellationToken cancel)
    {
        if (live.Arrival <= _delivered)
        {
            return; // it came another way
        }

        if (live.Arrival > _delivered + 1)
        {
            await CatchUpAsync(live.Arrival - 1, cancel);
        }

        // The mark moves first: a subscription that reads it finds the event in the store, one that does not hears it live.
        _store.Advance(live.Arrival);
        await _fanOut.PublishAsync(live, cancel);
        Volatile.Write(ref _delivered, live.Arrival);
    }

    // What sends and hears for this process takes the new name of the deployment or its history at once, not only when it next looks by itself.
    private void NoticeHistory()
    {
        if (_history != _store.History)
        {
            _history = _store.History;
            _identity.RefreshSoon();
        }
    }

    // A database that does not know what was delivered here has been put back to an earlier state: a restore, or a failover to a standby that lagged.
    private async Task<ulong> ReadHeadAsync(CancellationToken cancel)
    {
        var head = await _store.ReadHeadAsync(cancel);
        var seen = Math.Max(_delivered, _store.HighWaterMark);
        if (head >= _delivered)
        {
            return head;
        }

        _log.DatabaseWentBack(head, seen);
        return await _store.NoticeHistoryAsync(seen, cancel);
    }

    private async Task CatchUpAsync(ulong upTo, CancellationToken cancel)
    {
        var page = new List<LiveEvent>(CatchUpPage);
        while (_delivered < upTo)
        {
            page.Clear();
            var reached = await _store.ReadArrivalsAsync(
                _delivered,
                upTo,
                CatchUpPage,
                (arrival, json) =>
                {
                    if (FeedMessage.TryReadEvent(json) is { } record)
                    {
                        page.Add(new LiveEvent(record, arrival));
                    }
                },
                cancel);
            foreach (var live in page)
            {
                _store.Advance(live.Arrival);
                await _fanOut.PublishAsync(live, cancel);
                Volatile.Write(ref _delivered, live.Arrival);
            }

            _metrics.CaughtUp(page.Count);
            _store.Advance(reached);
            Volatile.Write(ref _delivered, reached); // numbers in between belong to events that were removed meanwhile
        }
    }
}
