using Npgsql;

namespace Marmot.Hosting.Cluster;

/// <summary>What replicas share through PostgreSQL: unlogged tables whose rows live for minutes. A crash of the server empties them, and docs/operate.md says
/// what that costs.</summary>
internal static class PostgresTables
{
    private const string Sql = """
        SELECT pg_advisory_xact_lock(7165921263870935410);
        CREATE SCHEMA IF NOT EXISTS cluster;
        CREATE UNLOGGED TABLE IF NOT EXISTS cluster.messages (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sent_at timestamptz NOT NULL DEFAULT now(), body bytea NOT NULL);
        CREATE UNLOGGED TABLE IF NOT EXISTS cluster.claims (
            hash bytea PRIMARY KEY, owner bytea NOT NULL, done boolean NOT NULL, until timestamptz NOT NULL)
            WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
        CREATE UNLOGGED TABLE IF NOT EXISTS cluster.values (name bytea PRIMARY KEY, value bytea NOT NULL, until timestamptz NOT NULL);
        CREATE INDEX IF NOT EXISTS claims_until ON cluster.claims (until);
        """;

    private const string Exist = "SELECT to_regclass('cluster.messages') IS NOT NULL AND to_regclass('cluster.claims') IS NOT NULL AND "
        + "to_regclass('cluster.values') IS NOT NULL";

    /// <summary>Makes them when they are missing; several replicas may try at once.</summary>
    public static async Task EnsureAsync(NpgsqlDataSource source, CancellationToken cancel)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using (var ask = new NpgsqlCommand(Exist, connection))
        {
            if ((bool)(await ask.ExecuteScalarAsync(cancel))!)
            {
                return; // needs no right to make tables
            }
        }

        await using var transaction = await connection.BeginTransactionAsync(cancel);
        await using (var make = new NpgsqlCommand(Sql, connection, transaction))
        {
            await make.ExecuteNonQueryAsync(cancel);
        }

        await transaction.CommitAsync(cancel);
    }
}
