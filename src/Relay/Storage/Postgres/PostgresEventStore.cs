using System.Data;
using Marmot.Hosting.Cluster;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage.Index;
using Marmot.Relay.Storage.Postgres.Schema;
using Npgsql;

namespace Marmot.Relay.Storage.Postgres;

/// <summary>The store of many machines: every replica of the relay on one PostgreSQL database.</summary>
/// <remarks>
/// The rules of what stays run in the database (Schema/0001-events.sql), one writer of all replicas at a time, so that arrival numbers are
/// committed in order and without holes. What the server cannot do comes out as <see cref="IOException"/>, as from a disk. All that is asked
/// may be asked twice, so whatever fails because a connection broke is tried again once: after a restart of the server every connection in the
/// pool is broken, and nobody should notice.
/// </remarks>
internal sealed class PostgresEventStore : IEventStore
{
    private const int MaintenanceBatch = 1000;
    private const int MaxQuerySeconds = 5;
    private const int ReadChunk = 128; // events fetched at once; a page of an answer is 256 KiB
    private readonly string _connectionString;
    private readonly NpgsqlDataSource _source;
    private readonly RecentIds _recent = new();
    private readonly PostgresErasure _erasure;
    private readonly StoreEntrance _entrance;
    private readonly Lock _noticing = new();
    private ulong _highWaterMark;
    private long _removals;
    private Guid _history;
    private volatile bool _isPrepared;

    private PostgresEventStore(string connectionString, StoreEntrance entrance)
    {
        _connectionString = connectionString;
        _entrance = entrance;
        _source = PostgresSource.Create(connectionString);
        _erasure = new PostgresErasure(_source);
        Moderation = new PostgresModeration(_source);
    }

    /// <summary>Where the operator's decisions lie, in the same database.</summary>
    public PostgresModeration Moderation { get; }

    public ulong HighWaterMark => Volatile.Read(ref _highWaterMark);

    /// <summary>The history that the database was of when it was last asked: another one means that what was committed may be gone, and was noticed. See
    /// Schema/0003-history.sql.</summary>
    public Guid History
    {
        get
        {
            lock (_noticing)
            {
                return _history;
            }
        }
    }

    /// <summary>A store that has not been connected yet: until <see cref="PrepareAsync"/> has succeeded everything fails as if the server were away.</summary>
    /// <exception cref="IOException">These are not Npgsql's words.</exception>
    public static PostgresEventStore Create(string connectionString, StoreEntrance? entrance = null) =>
        new(connectionString, entrance ?? StoreEntrance.Default);

    /// <summary>Connects and brings the schema up to date.</summary>
    /// <exception cref="IOException">The server cannot be reached or does not let us in.</exception>
    public static async Task<PostgresEventStore> OpenAsync(string connectionString, CancellationToken cancel, StoreEntrance? entrance = null)
    {
        var store = Create(connectionString, entrance);
        try
        {
            await store.PrepareAsync(cancel);
            return store;
        }
        catch
        {
            await store.DisposeAsync();
            throw;
        }
    }

    /// <summary>Connects and brings the schema up to date. To be called again until it succeeds, by one caller at a time.</summary>
    /// <param name="cancel">Ends the attempt.</param>
    /// <param name="first">Done before anybody else can use the store.</param>
    /// <returns>The newest arrival number before this store can have written anything.</returns>
    /// <exception cref="IOException">The server cannot be reached or does not let us in.</exception>
    public async Task<ulong> PrepareAsync(CancellationToken cancel, Func<CancellationToken, Task>? first = null)
    {
        await PostgresErrors.GuardAsync(() => RelayMigrator.RunAsync(_connectionString, cancel));
        var head = await PostgresErrors.GuardAsync(() => AskHistoryAsync(HighWaterMark, cancel));
        Moderation.Open();
        if (first is not null)
        {
            await first(cancel);
        }

        _isPrepared = true;
        return head;
    }

    /// <summary>True once the database was reached.</summary>
    public bool IsPrepared => _isPrepared;

    public bool IsLocal => false;

    /// <summary>PostgreSQL checks its own pages.</summary>
    public int DamagedRecords => 0;

    public bool IsKnown(in Bytes32 id) => _recent.Contains(id);

    public void Prepare()
    {
    }

    public async ValueTask WriteAsync(IReadOnlyList<EventWrite> batch, CancellationToken cancel)
    {
        var admitted = batch.Where(_entrance.Admits).ToList();
        if (admitted.Count == 0)
        {
            return;
        }

        // If a first try was committed although its connection broke, the second finds duplicates, and whoever listens gets the events by their
        // arrival numbers.
        var writes = new PostgresWriteBatch(admitted);
        var (newest, history) = await AskAsync(async () =>
        {
            await using var connection = await _source.OpenConnectionAsync(cancel);
            return await writes.RunAsync(connection, HighWaterMark, cancel);
        });
        Notice(history);
        foreach (var write in admitted)
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
        if (!PostgresQuery.TryWrite(command, filter, scope, upTo, limit))
        {
            scope.Leave(StoredRest.Unknown);
            return [];
        }

        List<StoredKey> keys = [];
        await AskAsync(() => QueryAsync(command, row => keys.Add(row.Key), restart: keys.Clear, cancel), tooWide: command.CommandTimeout > 0);
        scope.Work += keys.Count; // what it looked at beside them is not known here
        return await PostgresAnswerEnd.CutAsync(this, filter, scope, upTo, limit, keys, cancel);
    }

    public async ValueTask<StoredAnswer?> TryAnswerAsync(Filter[] filters, ReadScope scope, int maxLimit, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand { CommandTimeout = Timeout(scope) };
        if (Array.Exists(filters, filter => filter.Search is not null) || !PostgresQuery.TryWriteAnswer(command, filters, scope, maxLimit))
        {
            return null;
        }

        // Where nothing matches any older mark will do: all that came after it was looked at, and none of it matched.
        var mark = HighWaterMark;
        var found = Array.ConvertAll(filters, _ => new List<StoredKey>());
        await AskAsync(
            () => QueryAsync(
                command,
                row =>
                {
                    mark = row.Mark; // the same in every row
                    found[row.Place].Add(row.Key);
                },
                restart: () => Array.ForEach(found, keys => keys.Clear()),
                cancel),
            tooWide: command.CommandTimeout > 0);
        var answer = new List<StoredKey>();
        for (var i = 0; i < filters.Length; i++)
        {
            scope.Work += found[i].Count;
            if (filters[i].Limit == 0)
            {
                scope.Leave(StoredRest.Unknown);
                continue;
            }

            found[i].Sort(StoredQuery.AnswerOrder);
            answer.AddRange(await PostgresAnswerEnd.CutAsync(this, filters[i], scope, mark, maxLimit, found[i], cancel));
        }

        if (filters.Length > 1)
        {
            answer = [.. answer.DistinctBy(key => key.Arrival)];
            answer.Sort(StoredQuery.AnswerOrder);
        }

        return new StoredAnswer(mark, answer);
    }

    public async ValueTask<long> CountAsync(Filter filter, ReadScope scope, ulong upTo, CancellationToken cancel)
    {
        await using var command = new NpgsqlCommand { CommandTimeout = Timeout(scope) };
        return PostgresQuery.TryWriteCount(command, filter, scope, upTo)
            ? await AskAsync(() => CountAsync(command, cancel), tooWide: command.CommandTimeout > 0)
            : 0;
    }

    public async ValueTask<int> ReadAsync(IReadOnlyList<StoredKey> keys, int start, IStoredEventSink sink, CancellationToken cancel)
    {
        var next = start;
        while (next < keys.Count && await AskAsync(() => ReadChunkAsync()))
        {
        }

        return next - start;

        // Goes on where it was when it is tried again. False when the sink has enough.
        async Task<bool> ReadChunkAsync()
        {
            var first = next;
            var arrivals = new long[Math.Min(ReadChunk, keys.Count - first)];
            for (var i = 0; i < arrivals.Length; i++)
            {
                arrivals[i] = (long)keys[first + i].Arrival;
            }

            await using var command = _source.CreateCommand("""
                SELECT u.place, b.json FROM unnest($1) WITH ORDINALITY AS u (arrival, place) JOIN relay.event_bytes b ON b.arrival = u.arrival ORDER BY u.place
                """);
            command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = arrivals });
            await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleResult, cancel);
            while (await reader.ReadAsync(cancel))
            {
                var place = (int)reader.GetInt64(0); // counts from 1
                next = first + place;
                if (!sink.Accept((ulong)arrivals[place - 1], StoredBytes.Trim(reader.GetFieldValue<byte[]>(1))))
                {
                    return false;
                }
            }

            next = first + arrivals.Length;
            return true;
        }
    }

    /// <summary>Hands out what arrived after <paramref name="after"/> up to <paramref name="upTo"/>, in order, at most so many.</summary>
    /// <returns>The last number handed out; <paramref name="upTo"/> when there is nothing more.</returns>
    public Task<ulong> ReadArrivalsAsync(ulong after, ulong upTo, int most, Action<ulong, byte[]> take, CancellationToken cancel)
    {
        var (count, last) = (0, after); // a second try goes on from here
        return AskAsync(async () =>
        {
            await using var command = _source.CreateCommand(
                "SELECT b.arrival, b.json FROM relay.event_bytes b WHERE b.arrival > $1 AND b.arrival <= $2 ORDER BY b.arrival LIMIT $3");
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = (long)last });
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = (long)upTo });
            command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = most - count });
            await using var reader = await command.ExecuteReaderAsync(cancel);
            while (await reader.ReadAsync(cancel))
            {
                last = (ulong)reader.GetInt64(0);
                take(last, StoredBytes.Trim(reader.GetFieldValue<byte[]>(1)).ToArray());
                count++;
            }

            return count == most ? last : upTo;
        });
    }

    /// <summary>Asks for the newest arrival number; also the cheapest way to know that the server is there.</summary>
    public Task<ulong> ReadHeadAsync(CancellationToken cancel) => AskAsync(() => AskHeadAsync(cancel));

    /// <summary>Says that a number was seen which the database does not know: it begins a new history, whose numbers are above it.</summary>
    /// <returns>The newest number of the new history.</returns>
    public Task<ulong> NoticeHistoryAsync(ulong seen, CancellationToken cancel) => AskAsync(() => AskHistoryAsync(seen, cancel));

    /// <summary>Writes a row that means nothing: whether the server takes writes, and not only answers.</summary>
    public Task<bool> TryWriteAsync(CancellationToken cancel) => AskAsync(async () =>
    {
        await using var command = _source.CreateCommand("UPDATE relay.deployment SET asked_at = now()");
        command.CommandTimeout = MaxQuerySeconds;
        return await command.ExecuteNonQueryAsync(cancel) == 1;
    });

    public async ValueTask<ulong> ReadMarkAsync(CancellationToken cancel)
    {
        await ReadHeadAsync(cancel);
        return HighWaterMark; // the feed may have moved it further meanwhile
    }

    /// <summary>Forgets ids that are known to be stored: something was removed by another process.</summary>
    public void ForgetKnown() => _recent.Clear();

    public async ValueTask<int> RemoveAsync(IReadOnlyList<StoredKey> keys, bool erase, CancellationToken cancel)
    {
        // In pieces, so that the writers of all replicas get their turn in between.
        var removed = 0;
        foreach (var piece in keys.Chunk(MaintenanceBatch))
        {
            removed += await AskAsync(async () =>
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
        var expired = await AskAsync(async () =>
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
    public Task<bool> EraseAsync(CancellationToken cancel) => AskAsync(() => _erasure.RunAsync(cancel));

    /// <summary>Above a million events their number is PostgreSQL's own estimate: counting would take longer than anybody waits.</summary>
    public async ValueTask<StoreStatistics> ReadStatisticsAsync(CancellationToken cancel) => await AskAsync(async () =>
    {
        await using var command = _source.CreateCommand("""
            SELECT CASE WHEN c.reltuples > 1000000 THEN c.reltuples::bigint ELSE (SELECT count(*) FROM relay.events) END, (SELECT last FROM relay.head),
                pg_total_relation_size('relay.events') + pg_total_relation_size('relay.event_bytes') + pg_total_relation_size('relay.event_tags'),
                (SELECT count(*) FROM relay.erasures)
            FROM pg_class c WHERE c.oid = 'relay.events'::regclass
            """);
        await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleRow, cancel);
        await reader.ReadAsync(cancel);
        return new StoreStatistics(reader.GetInt64(0), (ulong)reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3), Damaged: 0);
    });

    public ValueTask DisposeAsync() => _source.DisposeAsync();

    /// <summary>Moves the mark: everything up to this number is committed. Only forward, whoever learns it first: the writer, the live feed or the
    /// probe.</summary>
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

    // Everything passes here.
    private Task<T> AskAsync<T>(Func<Task<T>> work, bool tooWide = false) => _isPrepared
        ? PostgresErrors.GuardAsync(() => BrokenConnections.RetryAsync(_source, () => WithoutStandbyAsync(work)), tooWide)
        : Task.FromException<T>(new IOException("PostgreSQL has not been reached yet"));

    // A connection of the pool that was to the primary may be to a standby now, after a failover: a new one finds the server that takes writes.
    private async Task<T> WithoutStandbyAsync<T>(Func<Task<T>> work)
    {
        try
        {
            return await work();
        }
        catch (PostgresException exception) when (exception.SqlState == PostgresErrorCodes.ReadOnlySqlTransaction)
        {
            _source.Clear();
            return await work();
        }
    }

    private async Task<ulong> AskHistoryAsync(ulong seen, CancellationToken cancel)
    {
        await using var command = _source.CreateCommand("SELECT o_last, o_history FROM relay.notice_history($1)");
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = (long)seen });
        await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleRow, cancel);
        await reader.ReadAsync(cancel);
        var last = (ulong)reader.GetInt64(0);
        Notice(reader.GetGuid(1));
        Advance(last);
        return last;
    }

    // What was known to be stored may not be any more.
    private void Notice(Guid history)
    {
        lock (_noticing)
        {
            if (_history == history)
            {
                return;
            }

            _history = history;
        }

        _recent.Clear();
    }

    private async Task<ulong> AskHeadAsync(CancellationToken cancel)
    {
        await using var command = _source.CreateCommand("SELECT h.last, h.removals, d.history FROM relay.head h CROSS JOIN relay.deployment d");
        await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleRow, cancel);
        await reader.ReadAsync(cancel);
        var (last, removals) = ((ulong)reader.GetInt64(0), reader.GetInt64(1));
        Notice(reader.GetGuid(2));
        if (Interlocked.Exchange(ref _removals, removals) != removals)
        {
            _recent.Clear();
        }

        Advance(last);
        return last;
    }

    // The server has no measure of entries looked at; strangers' queries get a time instead, the operator's own take as long as they take.
    private static int Timeout(ReadScope scope) => scope.MaxWork == int.MaxValue ? 0 : MaxQuerySeconds;

    private async Task<long> CountAsync(NpgsqlCommand command, CancellationToken cancel)
    {
        await using var connection = await _source.OpenConnectionAsync(cancel);
        command.Connection = connection;
        return (long)(await command.ExecuteScalarAsync(cancel))!;
    }

    // A second try begins anew.
    private async Task<bool> QueryAsync(NpgsqlCommand command, Action<Row> take, Action restart, CancellationToken cancel)
    {
        restart();
        await using var connection = await _source.OpenConnectionAsync(cancel);
        command.Connection = connection;
        await using var reader = await command.ExecuteReaderAsync(CommandBehavior.SingleResult, cancel);
        var isAnswer = reader.FieldCount > 5;
        while (await reader.ReadAsync(cancel))
        {
            var key = new StoredKey((ulong)reader.GetInt64(0), reader.GetInt64(1), new Bytes32(reader.GetFieldValue<byte[]>(3)), reader.GetInt32(4));
            take(isAnswer ? new Row(key, (ulong)reader.GetInt64(5), reader.GetInt32(6)) : new Row(key, 0, 0));
        }

        return true;
    }

    /// <summary>A row of an answer: the newest arrival number of all, and the place of the filter that found it.</summary>
    private readonly record struct Row(StoredKey Key, ulong Mark, int Place);
}
