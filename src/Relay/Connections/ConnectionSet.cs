using System.Collections.Concurrent;
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
    private readonly OutboxMemory _memory = new(options.Value.MaxOutboxBytesTogether);

    /// <summary>True when nobody new is admitted.</summary>
    public bool IsFull => _stopping.IsCancellationRequested || metrics.Connections >= options.Value.MaxConnections;

    /// <summary>Upgrades a request and runs the client to its end.</summary>
    public async Task ServeAsync(HttpContext context)
    {
        if (IsFull)
        {
            context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        }
        else if (await WebSocketHandshake.AcceptAsync(context) is { } stream)
        {
            await ServeAsync(new ClientTransport(context, stream, identity.UrlFor(context.Request)));
        }
    }

    /// <summary>Runs an upgraded client to its end.</summary>
    public async Task ServeAsync(ClientTransport transport)
    {
        if (moderation.IsBlocked(transport.Address) || !budgets.TryTake(budgets.PrefixOf(transport.Address), RelayBudgets.HandshakeUnits))
        {
            transport.Abort();
            return;
        }

        metrics.ConnectionOpened();
        using var connection = new Connection(transport, identity.CreateChallenge(), budgets, turns, _memory, options.Value, clock);
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

    /// <summary>Ends the connections of blocked addresses (NIP-86).</summary>
    public void DropBlocked()
    {
        foreach (var connection in _connections.Keys)
        {
            if (moderation.IsBlocked(connection.Address))
            {
                connection.Drop("blocked");
            }
        }
    }

    /// <summary>SIGTERM: farewell to all, nobody new. Called before the web server stops, since that waits for open connections until its deadline.</summary>
    public void BeginStop()
    {
        if (_stopping.IsCancellationRequested)
        {
            return;
        }

        log.Draining(_connections.Count);
        _stopping.Cancel();
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
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
}
