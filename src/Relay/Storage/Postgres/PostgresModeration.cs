using System.Data;
using System.Text.Json;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Moderating;
using Npgsql;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>The operator's decisions in a row of the database, the same for every replica.</summary>
/// <remarks>Before the database was reached there are none, of version -1; nobody can use the store then either.</remarks>
internal sealed class PostgresModeration(NpgsqlDataSource source) : IModerationStore
{
    private volatile bool _isOpen;

    /// <summary>The row is there.</summary>
    public void Open() => _isOpen = true;

    public async ValueTask<(long Version, ModerationState State)> ReadAsync(CancellationToken cancel) =>
        !_isOpen ? (-1, new ModerationState()) : await AskAsync(async () =>
    {
        await using var command = source.CreateCommand("SELECT version, state FROM relay.moderation");
        await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleRow, cancel);
        await reader.ReadAsync(cancel);
        return (reader.GetInt64(0), JsonSerializer.Deserialize<ModerationState>(reader.GetString(1))!);
    });

    public async ValueTask<bool> TryReplaceAsync(long version, ModerationState state, CancellationToken cancel) => await AskAsync(async () =>
    {
        await using var command = source.CreateCommand("UPDATE relay.moderation SET version = version + 1, state = $2 WHERE version = $1");
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = version });
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = JsonSerializer.Serialize(state) });
        return await command.ExecuteNonQueryAsync(cancel) == 1;
    });

    // A replacement asked for twice finds its own version the second time, and is then put together anew on what stands there.
    private Task<T> AskAsync<T>(Func<Task<T>> work) => PostgresErrors.GuardAsync(() => BrokenConnections.RetryAsync(source, work));
}
