using System.Text.Json;
using Marmot.Hosting.Moderating;
using Npgsql;

namespace Marmot.Blossom.Index.Postgres;

/// <summary>The operator's decisions for a blob store that runs without a relay in its process: the row of the same database that the relays have.</summary>
/// <remarks>Where no relay ever ran on the database there is no such row: nothing is decided, and a decision is refused with the command that makes the
/// row.</remarks>
internal sealed class PostgresDecisions(PostgresDatabase database) : IModerationStore
{
    private const string NoTable = "this database has no place for decisions yet: run 'marmot-server relay migrate' with the same Storage:Postgres once";
    private int _reads;

    public ValueTask<(long Version, ModerationState State)> ReadAsync(CancellationToken cancel) =>
        Interlocked.Increment(ref _reads) == 1 ? new((-1, new ModerationState()))
            : database.AskAsync( // the first look is before the start, when nobody may wait for a database
            async (connection, cancellation) =>
            {
                if (!await HasTableAsync(connection, cancellation))
                {
                    return (0L, new ModerationState());
                }

                await using var command = new NpgsqlCommand("SELECT version, state FROM relay.moderation", connection);
                await using var reader = await command.ExecuteReaderAsync(cancellation);
                await reader.ReadAsync(cancellation);
                return (reader.GetInt64(0), JsonSerializer.Deserialize<ModerationState>(reader.GetString(1))!);
            },
            cancel);

    // As in the relay: a replacement asked for twice finds its own version the second time, and is then put together anew on what stands there.
    public ValueTask<bool> TryReplaceAsync(long version, ModerationState state, CancellationToken cancel) => database.AskAsync(
        async (connection, cancellation) =>
        {
            if (!await HasTableAsync(connection, cancellation))
            {
                throw new IOException(NoTable);
            }

            await using var command = new NpgsqlCommand("UPDATE relay.moderation SET version = version + 1, state = $2 WHERE version = $1", connection)
            {
                Parameters = { PostgresStatements.Number(version), new NpgsqlParameter<string> { TypedValue = JsonSerializer.Serialize(state) } },
            };
            return await command.ExecuteNonQueryAsync(cancellation) == 1;
        },
        cancel);

    private static async Task<bool> HasTableAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand("SELECT to_regclass('relay.moderation') IS NOT NULL", connection);
        return (bool)(await command.ExecuteScalarAsync(cancel))!;
    }
}
