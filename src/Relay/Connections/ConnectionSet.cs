using System.Collections.Concurrent;
using System.Net;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Budgets;
using Marmot.Relay.Dispatch;
using Marmot.Relay.Frames;
using Marmot.Relay.Replies;
using Marmot.Relay.Storage;
using Marmot.Relay.Turns;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Connections;

/// <summary>All open connections: admits them, pings the silent, and lets them go when the relay stops.</summary>
internal sealed class ConnectionSet(
    MessageDispatch dispatch,
    RelayIdentity identity,
    RelayBudgets budgets,
    FairScheduler turns,
    AuthWaitMemory authMemory,
    Moderation moderation,
    IEventStore store,
    RelayMetrics metrics,
    TimeProvider clock,
    IOptions<RelayOptions> options,
    ILogger<ConnectionSet> log) : BackgroundService
{
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RefusalPause = TimeSpan.FromSeconds(1);
    private const int MaxPausedRefusals = 1000;
    private readonly ConcurrentDictionary<Connection, byte> _connections = new();
    private readonly CancellationTokenSource _stopping = new();
    private int _isStopping;
    private int _pausedRefusals;
    private readonly OutboxMemory _memory = new(options.Value.MaxOutboxBytesTogether);
    private readonly AddressShares _shares = new(options.Value);
    private readonly AuthWaiting? _waiting = options.Value.AuthWait == TimeSpan.Zero
        ? null : new AuthWaiting(authMemory, options.Value.MaxMessageBytes, options.Value.AuthWait, clock);
    private readonly HashSet<Bytes32> _named = [
        .. options.Value.WriteAllowList.Concat(options.Value.Admins).Select(text => Bytes32.TryParseHex(text, out var key) ? key : default)
    ];

    private bool IsFull => Volatile.Read(ref _isStopping) != 0 || metrics.Connections >= options.Value.MaxConnections;

    /// <summary>Decides on a handshake: a place, which <see cref="ServeAsync(ClientTransport, AddressShare)"/> takes over, or the status of HTTP that refuses
    /// it.</summary>
    /// <remarks>An address over its budget is told so a second later: connecting again at once would cost the relay more than what the address may
    /// do.</remarks>
    public async ValueTask<(AddressShare? Place, int Refusal)> AdmitAsync(IPAddress? address)
    {
        if (IsFull)
        {
            return (null, StatusCodes.Status503ServiceUnavailable);
        }

        if (moderation.IsBlocked(address))
        {
            return (null, StatusCodes.Status403Forbidden);
        }

        var prefix = budgets.PrefixOf(address);
        if (budgets.TryTake(prefix, RelayBudgets.HandshakeUnits) && _shares.TryOpen(prefix) is { } place)
        {
            return (place, 0);
        }

        budgets.Charge(prefix, RelayBudgets.HandshakeUnits);
        if (Interlocked.Increment(ref _pausedRefusals) <= MaxPausedRefusals)
        {
            await Task.Delay(RefusalPause, clock);
        }

        Interlocked.Decrement(ref _pausedRefusals);
        return (null, StatusCodes.Status429TooManyRequests);
    }

    /// <summary>Gives back a place that was not used.</summary>
    public void Release(AddressShare place) => _shares.Close(place, isMember: false);

    /// <summary>Upgrades a request and runs the client to its end.</summary>
    public async Task ServeAsync(HttpContext context)
    {
        var (place, refusal) = await AdmitAsync(context.Connection.RemoteIpAddress);
        if (place is null)
        {
            context.Response.StatusCode = refusal;
            return;
        }

        var extensions = AgreeOnExtensions(context.Request.Headers.SecWebSocketExtensions);
        Stream? stream = null;
        try
        {
            stream = await WebSocketHandshake.AcceptAsync(context, extensions);
        }
        finally
        {
            if (stream is null)
            {
                Release(place);
            }
        }

        if (stream is not null)
        {
            await ServeAsync(new ClientTransport(context, stream, identity.SignedUrl(context.Request)) { IsDeflating = extensions is not null }, place);
        }
    }

    /// <summary>What a handshake is answered about <c>Sec-WebSocket-Extensions</c>; null for nothing.</summary>
    public string? AgreeOnExtensions(string? offers) =>
        offers is null || options.Value.Compression == RelayCompression.Off ? null : PerMessageDeflate.Negotiate(offers);

    /// <summary>Runs an admitted client to its end.</summary>
    public async Task ServeAsync(ClientTransport transport, AddressShare place)
    {
        metrics.ConnectionOpened();
        using var connection = new Connection(transport, place, _shares, identity.CreateChallenge(), budgets, turns, _memory, _waiting, options.Value, clock);
        _connections.TryAdd(connection, 0);
        try
        {
            await connection.RunAsync(dispatch, _stopping.Token);
        }
        finally
        {
            _connections.TryRemove(connection, out _);
            dispatch.CloseAll(connection.Open);
            if (connection.EndReason == ConnectionEnd.ReadsTooSlowly)
            {
                metrics.ConnectionDropped();
            }

            log.ConnectionEnded(connection.EndReason.Label());
            metrics.ConnectionClosed();
        }
    }

    /// <summary>SIGTERM: nobody new, and all are told. Called before the web server stops, since that waits for open connections until its deadline.</summary>
    public void BeginStop()
    {
        if (Interlocked.Exchange(ref _isStopping, 1) == 0)
        {
            log.Draining(_connections.Count);
            _ = DismissAsync();
        }
    }

    // A step at a time, so that the clients of a large relay do not all connect to its neighbours in the same moment.
    private async Task DismissAsync()
    {
        var all = _connections.Keys.ToArray();
        foreach (var step in all.Chunk(DrainPace.PerStep(all.Length)))
        {
            Array.ForEach(step, connection => connection.Drop(ConnectionEnd.ShuttingDown));
            if (step[^1] != all[^1])
            {
                await Task.Delay(DrainPace.Step);
            }
        }

        await _stopping.CancelAsync(); // and whoever was just being admitted
    }

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        moderation.Changed += DropBlocked;
        return base.StartAsync(cancellationToken);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        moderation.Changed -= DropBlocked;
        BeginStop();
        var started = clock.GetTimestamp();
        while (!_connections.IsEmpty && clock.GetElapsedTime(started) < DrainTime && !cancellationToken.IsCancellationRequested)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(20), CancellationToken.None);
        }

        await base.StopAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(CheckInterval, clock);
        var members = Task.CompletedTask;
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            foreach (var connection in _connections.Keys)
            {
                connection.CheckAlive();
            }

            if (members.IsCompleted)
            {
                await members;
                members = AdmitMembersAsync(stoppingToken); // the store may be slow to answer
            }
        }
    }

    private async Task AdmitMembersAsync(CancellationToken cancel)
    {
        foreach (var connection in _connections.Keys)
        {
            if (connection.IsMemberUnknown && await IsMemberAsync(connection.Client.Keys, cancel))
            {
                connection.AdmitMember();
            }
        }
    }

    // Somebody the operator named, or who has written here; not just a key, which anybody makes in no time.
    private async ValueTask<bool> IsMemberAsync(Bytes32[] keys, CancellationToken cancel)
    {
        if (Array.Exists(keys, key => _named.Contains(key)))
        {
            return true;
        }

        try
        {
            var scope = ReadScope.Everything(clock.GetUtcNow().ToUnixTimeSeconds());
            var mark = await store.ReadMarkAsync(cancel);
            return (await store.QueryAsync(new Filter { Authors = keys }, scope, mark, 1, cancel)).Count > 0;
        }
        catch (Exception exception) when (exception is IOException or QueryTooWideException)
        {
            return false;
        }
    }

    // NIP-86: the connections of addresses that are blocked now.
    private void DropBlocked()
    {
        foreach (var connection in _connections.Keys)
        {
            if (moderation.IsBlocked(connection.Client.Address))
            {
                connection.Drop(ConnectionEnd.Blocked);
            }
        }
    }
}
