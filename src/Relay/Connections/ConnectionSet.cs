using System.Collections.Concurrent;
using Marmot.Relay.Ingest;
using Marmot.Relay.Management;
using Marmot.Relay.Queries;
using Microsoft.Extensions.Options;

namespace Marmot.Relay.Connections;

/// <summary>All open connections: admits them, pings the silent, and lets them go when the relay stops.</summary>
internal sealed class ConnectionSet(
    Ingester ingester,
    Requests requests,
    Syncs syncs,
    RelayIdentity identity,
    RelayBudgets budgets,
    Moderation moderation,
    RelayMetrics metrics,
    TimeProvider clock,
    IOptions<RelayOptions> options,
    ILogger<ConnectionSet> log) : BackgroundService
{
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(5);
    private readonly ConcurrentDictionary<Connection, byte> _connections = new();
    private readonly CancellationTokenSource _stopping = new();
    private int _isStopping;
    private readonly OutboxMemory _memory = new(options.Value.MaxOutboxBytesTogether);

    /// <summary>True when nobody new is admitted.</summary>
    public bool IsFull => Volatile.Read(ref _isStopping) != 0 || metrics.Connections >= options.Value.MaxConnections;

    /// <summary>Upgrades a request and runs the client to its end.</summary>
    public async Task ServeAsync(HttpContext context)
    {
        if (IsFull)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
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

    /// <summary>Runs an upgraded client to its end.</summary>
    public async Task ServeAsync(ClientTransport transport)
    {
        if (moderation.IsBlocked(transport.Address) || !budgets.TryTake(budgets.PrefixOf(transport.Address), RelayBudgets.HandshakeUnits))
        {
            transport.Abort();
            return;
        }

        metrics.ConnectionOpened();
        using var connection = new Connection(transport, identity.CreateChallenge(), budgets, _memory, options.Value, clock);
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

    /// <summary>SIGTERM: farewell to all, nobody new. Called before the web server stops, since that waits for open connections until its deadline.</summary>
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
