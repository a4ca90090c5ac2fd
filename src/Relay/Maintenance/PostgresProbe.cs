using Marmot.Relay.Storage.Postgres;
using Npgsql;

namespace Marmot.Relay.Maintenance;

/// <summary>Asks PostgreSQL every few seconds to write a row: a server that only answers, such as a standby after a failover or one with a full disk, is no
/// place to store events.</summary>
internal sealed class PostgresProbe(PostgresEventStore store, TimeProvider clock) : BackgroundService
{
    /// <summary>How long a failure can go unnoticed, apart from the time the question takes.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(3);

    // What failed is asked again sooner, so that it counts as healed soon; before the store was reached at all, the live feed says so.
    private static readonly TimeSpan SoonAgain = TimeSpan.FromSeconds(0.3);

    private volatile string? _failure;

    /// <summary>Why the last write was not taken; null when it was.</summary>
    public string? Failure => _failure;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (true)
        {
            try
            {
                if (store.IsPrepared)
                {
                    _failure = await store.TryWriteAsync(stoppingToken) ? null : "PostgreSQL lacks the relay's tables";
                }
            }
            catch (IOException exception)
            {
                _failure = exception.InnerException switch
                {
                    PostgresException { SqlState: PostgresErrorCodes.ReadOnlySqlTransaction } => "PostgreSQL takes no writes: it is read-only",
                    PostgresException refused => "PostgreSQL takes no writes: " + refused.SqlState,
                    _ => "PostgreSQL cannot be reached",
                };
            }

            await Task.Delay(store.IsPrepared && _failure is null ? Interval : SoonAgain, clock, stoppingToken);
        }
    }
}
