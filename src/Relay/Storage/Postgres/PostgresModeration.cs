using System.Data;
using System.Text.Json;
using Marmot.Relay.Management;
using Npgsql;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>The operator's decisions in a row of the database, the same for every replica.</summary>
internal sealed class PostgresModeration(NpgsqlDataSource source) : IModerationStore
{
    public async ValueTask<(long Version, ModerationState State)> ReadAsync(CancellationToken cancel) => await PostgresErrors.GuardAsync(async () =>
    {
        await using var command = source.CreateCommand("SELECT version, state FROM relay.moderation");
        await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleRow, cancel);
        await reader.ReadAsync(cancel);
        return (reader.GetInt64(0), JsonSerializer.Deserialize<ModerationState>(reader.GetString(1))!);
    });

    public async ValueTask<bool> TryReplaceAsync(long version, ModerationState state, CancellationToken cancel) => await PostgresErrors.GuardAsync(async () =>
    {
        await using var command = source.CreateCommand("UPDATE relay.moderation SET version = version + 1, state = $2 WHERE version = $1");
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = version });
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = JsonSerializer.Serialize(state) });
        return await command.ExecuteNonQueryAsync(cancel) == 1;
    });
}
