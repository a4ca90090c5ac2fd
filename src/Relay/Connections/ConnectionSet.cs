using System.Collections.Concurrent;
using System.Net;
using Marmot.Relay.Ingest;
using Marmot.Relay.Management;
using Marmot.Relay.Queries;
using Marmot.Relay.Turns;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Connections;

/// <summary>All open connections: admits them, pings the silent, and lets them go when the relay stops.</summary>
internal sealed class ConnectionSet(
    Ingester ingester,
    Requests requests,
    Syncs syncs,
    RelayIdentity identity,
    RelayBudgets budgets,
    WorkTurns turns,
    AuthWaitMemory authMemory,
    Moderation moderation,
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

    private bool IsFull => Volatile.Read(ref _isStopping) != 0 || metrics.Connections >= options.Value.MaxConnections;

    /// <summary>Why a handshake is refused, as a status of HTTP; null when the client may come in.</summary>
    /// <remarks>An address that has spent its work is told so a second later: a flood that knocks again at once would cost more than what it may do here.</remarks>
    public async ValueTask<int?> FindRefusalAsync(IPAddress? address)
    {
        if (IsFull)
        {
            return StatusCodes.Status503ServiceUnavailable;
        }

        if (moderation.IsBlocked(address))
        {
            return StatusCodes.Status403Forbidden;
        }

        if (budgets.TryTake(budgets.PrefixOf(address), RelayBudgets.HandshakeUnits))
        {
            return null;
        }

        budgets.Charge(budgets.PrefixOf(address), RelayBudgets.HandshakeUnits);
        if (Interlocked.Increment(ref _pausedRefusals) <= MaxPausedRefusals)
        {
            await Task.Delay(RefusalPause, clock);
        }

        Interlocked.Decrement(ref _pausedRefusals);
        return StatusCodes.Status429TooManyRequests;
    }

    /// <summary>Upgrades a request and runs the client to its end.</summary>
    public async Task ServeAsync(HttpContext context)
    {
        if (await FindRefusalAsync(context.Connection.RemoteIpAddress) is { } status)
        {
            context.Response.StatusCode = status;
        }
        else if (AgreeOnExtensions(context.Request.Headers.SecWebSocketExtensions) is var extensions
            && await WebSocketHandshake.AcceptAsync(context, extensions) is { } stream)
        {
            await ServeAsync(new ClientTransport(context, stream, identity.UrlFor(context.Request)) { IsDeflating = extensions is not null });
        }
    }

    /// <summary>What a handshake is answered about <c>Sec-WebSocket-Extensions</c>; null for nothing.</summary>
    public string? AgreeOnExtensions(string? offers) =>
        offers is null || options.Value.Compression == RelayCompression.Off ? null : PerMessageDeflate.Negotiate(offers);

    /// <summary>Runs an admitted client to its end.</summary>
    public async Task ServeAsync(ClientTransport transport)
    {
        metrics.ConnectionOpened();
        using var connection = new Connection(transport, identity.CreateChallenge(), budgets, turns, _memory, authMemory, options.Value, clock);
        _connections.TryAdd(connection, 0);
        try
        {
            await connection.RunAsync(ingester, _stopping.Token);
        }
        finally
        {
            _connections.TryRemove(connection, out _);
            requests.CloseAll(connection);
            syncs.CloseAll(connection);
            if (connection.EndReason == "reads too slowly")
            {
                metrics.ConnectionDropped();
            }

            log.ConnectionEnded(connection.EndReason);
            metrics.ConnectionClosed();
        }
    }

    /// <summary>SIGTERM: nobody new, and farewell to all. Called before the web server stops, since that waits for open connections until its deadline.</summary>
    public void BeginStop()
    {
        if (Interlocked.Exchange(ref _isStopping, 1) == 0)
        {
            log.Draining(_connections.Count);
            _ = DismissAsync();
        }
    }

    // A step at a time, so that the clients of a large relay do not all knock at its neighbours in the same moment.
    private async Task DismissAsync()
    {
        var all = _connections.Keys.ToArray();
        foreach (var step in all.Chunk(FarewellPace.PerStep(all.Length)))
        {
            Array.ForEach(step, connection => connection.Drop(Connection.ShuttingDown));
            if (step[^1] != all[^1])
            {
                await Task.Delay(FarewellPace.Step);
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
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            foreach (var connection in _connections.Keys)
            {
                connection.CheckAlive();
            }
        }
    }

    // NIP-86: the connections of addresses that are blocked now.
    private void DropBlocked()
    {
        foreach (var connection in _connections.Keys)
        {
            if (moderation.IsBlocked(connection.Address))
            {
                connection.Drop("blocked");
            }
        }
    }
}
