using System.Data;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage.Postgres.Schema;
using Npgsql;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>The store of many machines: every replica of the relay on one PostgreSQL database.</summary>
/// <remarks>
/// The rules of what stays run in the database (Schema/0001-events.sql), one writer of all replicas at a time, so that arrival numbers are
/// committed in order and without holes. What the server cannot do comes out as <see cref="IOException"/>, as from a disk.
/// </remarks>
internal sealed class PostgresEventStore : IEventStore
{
    private const int MaintenanceBatch = 1000;
    private const int MaxQuerySeconds = 5;
    private const int ReadChunk = 128; // events fetched at once; a page of an answer is 256 KiB
    private readonly NpgsqlDataSource _source;
    private readonly RecentIds _recent = new();
    private readonly PostgresErasure _erasure;
    private ulong _highWaterMark;
    private long _removals;

    private PostgresEventStore(NpgsqlDataSource source)
    {
        _source = source;
        _erasure = new PostgresErasure(source);
        Moderation = new PostgresModeration(source);
    }

    /// <summary>Where the operator's decisions lie, in the same database.</summary>
    public PostgresModeration Moderation { get; }

    public ulong HighWaterMark => Volatile.Read(ref _highWaterMark);

    /// <summary>Connects and brings the schema up to date.</summary>
    /// <exception cref="IOException">The server cannot be reached or does not let us in.</exception>
    public static async Task<PostgresEventStore> OpenAsync(string connectionString, CancellationToken cancel)
    {
        var store = new PostgresEventStore(PostgresSource.Create(connectionString));
        try
        {
            await PostgresErrors.GuardAsync(() => RelayMigrator.RunAsync(connectionString, cancel));
            await store.ReadHeadAsync(cancel);
            return store;
        }
        catch
        {
            await store.DisposeAsync();
            throw;
        }
    }

    public bool IsKnown(in Bytes32 id) => _recent.Contains(id);

    public async ValueTask WriteAsync(IReadOnlyList<EventWrite> batch, CancellationToken cancel)
    {
        if (batch.Count == 0)
        {
            return;
        }

        var writes = new PostgresWriteBatch(batch);
        ulong newest;
        try
        {
            newest = await RunAsync(writes, cancel);
        }
        catch (NpgsqlException exception) when ((exception.IsTransient || !exception.IsFromServer()) && exception.InnerException is not TimeoutException)
        {
            // A connection that broke while it lay in the pool, or a server that just came back. If the first try was committed after all, the
            // second finds duplicates, and whoever listens gets the events by their arrival numbers.
            newest = await PostgresErrors.GuardAsync(() => RunAsync(writes, cancel));
        }
        catch (PostgresException exception)
        {
            throw new IOException("PostgreSQL refused the write: " + exception.SqlState, exception);
        }
        catch (Exception exception) when (exception is NpgsqlException or TimeoutException)
        {
            throw new IOException("PostgreSQL did not answer in time", exception);
        }

        foreach (var write in batch)
        {
            if (write.Verdict is StoreVerdict.Stored or StoreVerdict.Duplicate)
            {
                _recent.Add(write.Record.Id);
            }
        }

        if (writes.Removes)
        {
            _recent.Clear();
        }

        Advance(newest);
    }

    public async ValueTask<IReadOnlyList<StoredKey>> QueryAsync(Filter filter, ReadScope scope, ulong upTo, int limit, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand { CommandTimeout = Timeout(scope) };
        IReadOnlyList<StoredKey> keys = PostgresQuery.TryWrite(command, filter, scope, upTo, limit)
            ? await PostgresErrors.GuardAsync(() => QueryAsync(command, cancel), tooWide: command.CommandTimeout > 0)
            : [];
        scope.Work += keys.Count; // what it looked at beside them is not known here
        return keys;
    }

    public async ValueTask<long> CountAsync(Filter filter, ReadScope scope, ulong upTo, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand { CommandTimeout = Timeout(scope) };
        return PostgresQuery.TryWriteCount(command, filter, scope, upTo)
            ? await PostgresErrors.GuardAsync(() => CountAsync(command, cancel), tooWide: command.CommandTimeout > 0)
            : 0;
    }

    public async ValueTask<int> ReadAsync(IReadOnlyList<StoredKey> keys, int start, IStoredEventSink sink, CancellationToken cancel)
    {
        for (var next = start; next < keys.Count; next += ReadChunk)
        {
            var count = Math.Min(ReadChunk, keys.Count - next);
            var used = await PostgresErrors.GuardAsync(() => ReadChunkAsync(keys, next, count, sink, cancel));
            if (used >= 0)
            {
                return next + used - start;
            }
        }

        return keys.Count - start;
    }

    /// <summary>Hands out what arrived after <paramref name="after"/> up to <paramref name="upTo"/>, in order, at most so many.</summary>
    /// <returns>The last number handed out; <paramref name="upTo"/> when there is nothing more.</returns>
    public Task<ulong> ReadArrivalsAsync(ulong after, ulong upTo, int most, Action<ulong, byte[]> take, CancellationToken cancel) =>
        PostgresErrors.GuardAsync(async () =>
        {
            await using var command = _source.CreateCommand(
                "SELECT b.arrival, b.json FROM relay.event_bytes b WHERE b.arrival > $1 AND b.arrival <= $2 ORDER BY b.arrival LIMIT $3");
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = (long)after });
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = (long)upTo });
            command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = most });
            await using var reader = await command.ExecuteReaderAsync(cancel);
            var (count, last) = (0, upTo);
            while (await reader.ReadAsync(cancel))
            {
                last = (ulong)reader.GetInt64(0);
                take(last, StoredBytes.Trim(reader.GetFieldValue<byte[]>(1)).ToArray());
                count++;
            }

            return count == most ? last : upTo;
        });

    /// <summary>Asks for the newest arrival number; also the cheapest way to know that the server is there.</summary>
    public async Task<ulong> ReadHeadAsync(CancellationToken cancel)
    {
        var head = await PostgresErrors.GuardAsync(async () =>
        {
            await using var command = _source.CreateCommand("SELECT last, removals FROM relay.head");
            await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleRow, cancel);
            await reader.ReadAsync(cancel);
            return (Last: (ulong)reader.GetInt64(0), Removals: reader.GetInt64(1));
        });
        if (Interlocked.Exchange(ref _removals, head.Removals) != head.Removals)
        {
            _recent.Clear();
        }

        Advance(head.Last);
        return head.Last;
    }

    public async ValueTask<ulong> ReadMarkAsync(CancellationToken cancel)
    {
        await ReadHeadAsync(cancel);
        return HighWaterMark; // the feed may have moved it further meanwhile
    }

    /// <summary>Forgets ids that are known to be stored: something was removed by another process.</summary>
    public void ForgetKnown() => _recent.Clear();

    public async ValueTask<int> RemoveAsync(IReadOnlyList<StoredKey> keys, CancellationToken cancel)
    {
        // In pieces, so that the writers of all replicas get their turn in between.
        var removed = 0;
        foreach (var piece in keys.Chunk(MaintenanceBatch))
        {
            removed += await PostgresErrors.GuardAsync(async () =>
            {
                await using var command = _source.CreateCommand("SELECT relay.remove_locked($1)");
                command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = [.. piece.Select(key => (long)key.Arrival)] });
                return (int)(await command.ExecuteScalarAsync(cancel))!;
            });
        }

        _recent.Clear();
        return removed;
    }

    /// <summary>Removes what expired. The overwriting is <see cref="EraseAsync"/>, which the writer does not wait for.</summary>
    public async ValueTask<bool> MaintainAsync(long now, CancellationToken cancel)
    {
        var expired = await PostgresErrors.GuardAsync(async () =>
        {
            await using var command = _source.CreateCommand("SELECT relay.expire($1, $2)");
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = now });
            command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = MaintenanceBatch });
            return (int)(await command.ExecuteScalarAsync(cancel))!;
        });
        if (expired > 0)
        {
            _recent.Clear();
        }

        return expired == MaintenanceBatch;
    }

    /// <summary>Overwrites the bytes of what was removed, in the table's files. Safe to call from every replica.</summary>
    /// <returns>True when there is more to do at once.</returns>
    public Task<bool> EraseAsync(CancellationToken cancel) => PostgresErrors.GuardAsync(() => _erasure.RunAsync(cancel));

    /// <summary>Above a million events their number is PostgreSQL's own estimate: counting would take longer than anybody waits.</summary>
    public async ValueTask<StoreStatistics> ReadStatisticsAsync(CancellationToken cancel) => await PostgresErrors.GuardAsync(async () =>
    {
        await using var command = _source.CreateCommand("""
            SELECT CASE WHEN c.reltuples > 1000000 THEN c.reltuples::bigint ELSE (SELECT count(*) FROM relay.events) END, (SELECT last FROM relay.head),
                pg_total_relation_size('relay.events') + pg_total_relation_size('relay.event_bytes') + pg_total_relation_size('relay.event_tags'),
                (SELECT count(*) FROM relay.erasures)
            FROM pg_class c WHERE c.oid = 'relay.events'::regclass
            """);
        await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleRow, cancel);
        await reader.ReadAsync(cancel);
        return new StoreStatistics(reader.GetInt64(0), (ulong)reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3));
    });

    public ValueTask DisposeAsync() => _source.DisposeAsync();

    /// <summary>Moves the mark: everything up to this number is committed. Only forward, whoever learns it first: the writer, the live feed or the probe.</summary>
    public void Advance(ulong arrival)
    {
        var seen = Volatile.Read(ref _highWaterMark);
        while (arrival > seen)
        {
            var before = Interlocked.CompareExchange(ref _highWaterMark, arrival, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }

    private async Task<ulong> RunAsync(PostgresWriteBatch writes, CancellationToken cancel)
    {
        await using var connection = await _source.OpenConnectionAsync(cancel);
        return await writes.RunAsync(connection, cancel);
    }

    // The server has no measure of entries looked at; strangers' queries get a time instead, the operator's own take as long as they take.
    private static int Timeout(ReadScope scope) => scope.MaxWork == int.MaxValue ? 0 : MaxQuerySeconds;

    private async Task<long> CountAsync(NpgsqlCommand command, CancellationToken cancel)
    {
        await using var connection = await _source.OpenConnectionAsync(cancel);
        command.Connection = connection;
        return (long)(await command.ExecuteScalarAsync(cancel))!;
    }

    private async Task<IReadOnlyList<StoredKey>> QueryAsync(NpgsqlCommand command, CancellationToken cancel)
    {
        await using var connection = await _source.OpenConnectionAsync(cancel);
        command.Connection = connection;
        var keys = new List<StoredKey>();
        await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleResult, cancel);
        while (await reader.ReadAsync(cancel))
        {
            keys.Add(new StoredKey((ulong)reader.GetInt64(0), reader.GetInt64(1), new Bytes32(reader.GetFieldValue<byte[]>(3)), reader.GetInt32(4)));
        }

        return keys;
    }

    // How many keys were used up when the sink has enough, else -1.
    private async Task<int> ReadChunkAsync(IReadOnlyList<StoredKey> keys, int start, int count, IStoredEventSink sink, CancellationToken cancel)
    {
        var arrivals = new long[count];
        for (var i = 0; i < count; i++)
        {
            arrivals[i] = (long)keys[start + i].Arrival;
        }

        await using var command = _source.CreateCommand("""
            SELECT u.place, b.json FROM unnest($1) WITH ORDINALITY AS u (arrival, place) JOIN relay.event_bytes b ON b.arrival = u.arrival ORDER BY u.place
            """);
        command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = arrivals });
        await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleResult, cancel);
        while (await reader.ReadAsync(cancel))
        {
            var place = (int)reader.GetInt64(0); // counts from 1
            if (!sink.Accept((ulong)arrivals[place - 1], StoredBytes.Trim(reader.GetFieldValue<byte[]>(1))))
            {
                return place;
            }
        }

        return -1;
    }
}
