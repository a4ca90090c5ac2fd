using System.Diagnostics.CodeAnalysis;
using Npgsql;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>Overwrites the bytes of removed events in PostgreSQL's table files, as far as SQL reaches (decision 4).</summary>
/// <remarks>
/// A removed row's bytes stay in its page until something else is written there. So: VACUUM makes the room known, then zeros of the same
/// sizes are inserted into that room and the insert is rolled back: what it wrote stays in the page, as rubbish. docs/operate.md says
/// what the write-ahead log and backups still hold, and which settings shorten it.
/// </remarks>
[SuppressMessage("Security", "CA2100", Justification = "put together from constants, numbers and parameter names only")]
internal sealed class PostgresErasure(NpgsqlDataSource source)
{
    private const long AdvisoryLock = 0x6572617365; // "erase"
    private const int BatchSize = 10_000;

    // A place is found by its size in steps of 32 bytes; a filler of exactly the old size may miss it. What a row starts with (its header and
    // the event's id) is what so stays uncovered.
    private const int Shorter = 64;

    private const int SmallFiller = 100; // bytes; with what PostgreSQL adds, 55 of them fill a page
    private const int MaxSmallFillers = 50_000;

    /// <summary>One round; others that try meanwhile do nothing.</summary>
    /// <returns>True when there is more to do at once.</returns>
    public async Task<bool> RunAsync(CancellationToken cancel)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        if (!(bool)(await ScalarAsync(connection, $"SELECT pg_try_advisory_lock({AdvisoryLock})", cancel))!)
        {
            return false;
        }

        try
        {
            return await EraseAsync(connection, cancel);
        }
        finally
        {
            if (connection.FullState.HasFlag(System.Data.ConnectionState.Open)) // a broken one has let go already
            {
                await ExecuteAsync(connection, $"SELECT pg_advisory_unlock({AdvisoryLock})", CancellationToken.None);
            }
        }
    }

    private static async Task<bool> EraseAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        // 1. What was removed before the oldest snapshot that anybody still holds; later ones VACUUM may not touch yet.
        var (count, upTo) = await ReadDueAsync(connection, cancel);
        if (count == 0)
        {
            return false;
        }

        // 2. Give the room free. Fast: only pages that changed, and one index.
        await ExecuteAsync(connection, "VACUUM (TRUNCATE FALSE, INDEX_CLEANUP ON, PARALLEL 0) relay.event_bytes", cancel);

        // 3. Fill it with zeros: first pieces as large as what was there, which only fit into such holes, twice, since the first may land in
        //    room that was free before; then small ones for what is left of the holes.
        await using (var transaction = await connection.BeginTransactionAsync(cancel))
        {
            await ExecuteAsync(connection, $"""
                INSERT INTO relay.event_bytes (arrival, json)
                SELECT -row_number() OVER (),
                    decode(repeat('00', CASE WHEN e.bytes > {StoredBytes.MaxInline} THEN e.bytes ELSE greatest(e.bytes - {Shorter}, 16) END), 'hex')
                FROM relay.erasures e CROSS JOIN generate_series(1, 2) WHERE e.number <= {upTo}
                ORDER BY e.bytes DESC
                """, cancel);
            await ExecuteAsync(connection, $"""
                INSERT INTO relay.event_bytes (arrival, json)
                SELECT -1000000000 - n, decode(repeat('00', {SmallFiller}), 'hex')
                FROM generate_series(1, (SELECT least(sum(e.bytes) / {SmallFiller}, {MaxSmallFillers}) FROM relay.erasures e WHERE e.number <= {upTo})) AS n
                """, cancel);
            await transaction.RollbackAsync(cancel);
        }

        await ExecuteAsync(connection, $"DELETE FROM relay.erasures WHERE number <= {upTo}", cancel);
        return count == BatchSize;
    }

    private static async Task<(long Count, long UpTo)> ReadDueAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        await using var ask = new NpgsqlCommand($"""
            SELECT count(*), coalesce(max(number), 0) FROM (
                SELECT number FROM relay.erasures
                WHERE age(removed_by::xid) > coalesce((SELECT max(age(backend_xmin)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()), 0)
                ORDER BY number LIMIT {BatchSize}) AS due
            """, connection);
        await using var reader = await ask.ExecuteReaderAsync(cancel);
        await reader.ReadAsync(cancel);
        return (reader.GetInt64(0), reader.GetInt64(1));
    }

    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await command.ExecuteNonQueryAsync(cancel);
    }

    private static async Task<object?> ScalarAsync(NpgsqlConnection connection, string sql, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(cancel);
    }
}
