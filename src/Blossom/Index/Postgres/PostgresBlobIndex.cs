using System.Data.Common;
using System.Runtime.CompilerServices;
using Marmot.Blossom.Storage;
using Marmot.Protocol.Encoding;
using Npgsql;

namespace Marmot.Blossom.Index.Postgres;

/// <summary>The index in PostgreSQL, for replicas. Every change is one batch, which the server runs as one transaction behind the lock of the blob's
/// row.</summary>
/// <remarks>
/// Each batch locks one row of <c>blossom_blobs</c> first and touches only claims of that blob, so changes of one blob run one after
/// another, those of different blobs never wait for each other, and no two can wait in a ring.
/// </remarks>
internal sealed class PostgresBlobIndex(PostgresDatabase database, TimeProvider time) : IBlobIndex
{
    private static readonly TimeSpan CountInterval = TimeSpan.FromMinutes(1);

    private readonly Lock _totalsGate = new();
    private BlobTotals _totals;
    private long? _countedAt;

    /// <summary>The database looks after its own pages.</summary>
    public int DamagedClaims => 0;

    public ValueTask<int> DropDamagedAsync(CancellationToken cancellationToken) => ValueTask.FromResult(0);

    public BlobTotals Totals
    {
        get
        {
            lock (_totalsGate)
            {
                return _totals;
            }
        }
    }

    private long Now => time.GetUtcNow().ToUnixTimeSeconds();

    public ValueTask<BlobEntry?> FindAsync(Bytes32 hash, CancellationToken cancellationToken) => FindAsync(hash, Now, cancellationToken);

    public ValueTask<BlobEntry?> FindAsync(Bytes32 hash, long now, CancellationToken cancellationToken) => database.AskAsync(
        async (connection, cancellation) =>
        {
            await using var batch = new NpgsqlBatch(connection) { BatchCommands = { PostgresStatements.Entry(hash, now) } };
            await using var reader = await batch.ExecuteReaderAsync(cancellation);
            return await ReadEntryAsync(reader, hash);
        },
        cancellationToken);

    public ValueTask<AddedClaim> AddAsync(BlobClaim claim, CancellationToken cancellationToken) => database.ChangeTwiceAsync(async connection =>
    {
        var now = Now;
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands =
            {
                PostgresStatements.LockOrCreate(claim),
                PostgresStatements.CountLive(claim.Hash, now),
                PostgresStatements.PutClaim(claim),
                PostgresStatements.Entry(claim.Hash, now),
            },
        };
        await using var reader = await batch.ExecuteReaderAsync(CancellationToken.None);
        var isNewRow = await ReadAsync<bool>(reader);
        var wasLive = await ReadAsync<long>(reader) > 0;
        var isNewClaim = await ReadAsync<bool>(reader);
        var entry = await ReadEntryAsync(reader, claim.Hash) ?? BlobEntry.Of(claim);
        await FinishAsync(reader);
        Count(isNewRow ? 1 : 0, isNewClaim ? 1 : 0, isNewRow ? claim.Size : 0);
        // Marks are used once: it was added the first time it was asked.
        return new AddedClaim(entry, !wasLive || (claim.Mark != Guid.Empty && entry.Mark == claim.Mark));
    });

    public ValueTask<BlobEntry?> JoinAsync(BlobClaim claim, CancellationToken cancellationToken) => database.ChangeTwiceAsync(async connection =>
    {
        var now = Now;
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands = { PostgresStatements.Lock(claim.Hash), PostgresStatements.JoinClaim(claim, now), PostgresStatements.Entry(claim.Hash, now) },
        };
        await using var reader = await batch.ExecuteReaderAsync(CancellationToken.None);
        await reader.NextResultAsync();
        if (!await reader.ReadAsync())
        {
            return null;
        }

        var isNewClaim = reader.GetBoolean(0);
        await reader.NextResultAsync();
        var entry = await ReadEntryAsync(reader, claim.Hash) ?? BlobEntry.Of(claim);
        await FinishAsync(reader);
        Count(0, isNewClaim ? 1 : 0, 0);
        return entry;
    });

    public ValueTask<RemovedClaim> RemoveAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancellationToken) => database.ChangeAsync(async connection =>
    {
        await using var batch = new NpgsqlBatch(connection)
        {
            BatchCommands = { PostgresStatements.Lock(hash), PostgresStatements.DeleteClaim(hash, owner, Now, database.Listable),
                PostgresStatements.DropIfFree(hash) },
        };
        await using var reader = await batch.ExecuteReaderAsync(CancellationToken.None);
        var isThere = await reader.ReadAsync();
        await reader.NextResultAsync();
        var isOwner = await reader.ReadAsync();
        await reader.NextResultAsync();
        var gone = await ReadGoneAsync(reader, hash, isOwner ? 1 : 0);
        return new RemovedClaim(
            !isThere
                ? ClaimRemoval.NoBlob
                : !isOwner
                ? ClaimRemoval.NotOwner
                : gone is null
                ? ClaimRemoval.Removed
                : ClaimRemoval.RemovedLast, gone ?? default);
    });

    public async ValueTask TouchAsync(Bytes32 hash, long readAt, CancellationToken cancellationToken) => await database.ChangeTwiceAsync(async connection =>
    {
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { PostgresStatements.Touch(hash, readAt) } };
        return await batch.ExecuteNonQueryAsync(CancellationToken.None);
    });

    public ValueTask<BlobPlace?> RemoveUnreadAsync(Bytes32 hash, long since, CancellationToken cancellationToken) =>
        RemoveAsync(hash, PostgresStatements.DeleteUnread(hash, since, database.Listable));

    public ValueTask<IReadOnlyList<Bytes32>> FindUnreadAsync(long since, int limit, CancellationToken cancellationToken) =>
        FindAsync(() => PostgresStatements.Unread(since, limit), cancellationToken);

    public ValueTask<long> BytesOfAsync(Bytes32 owner, CancellationToken cancellationToken) => database.AskAsync(
        async (connection, cancellation) =>
        {
            await using var command = new NpgsqlCommand(PostgresStatements.BytesOf, connection) { Parameters = { PostgresStatements.Bytes(owner) } };
            return (long)(await command.ExecuteScalarAsync(cancellation))!;
        },
        cancellationToken);

    public async ValueTask MoveAsync(Bytes32 hash, Guid mark, CancellationToken cancellationToken) => await database.ChangeTwiceAsync(async connection =>
    {
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { PostgresStatements.Move(hash, mark) } };
        return await batch.ExecuteNonQueryAsync(CancellationToken.None);
    });

    public ValueTask<BlobPlace?> RemoveBlobAsync(Bytes32 hash, CancellationToken cancellationToken) =>
        RemoveAsync(hash, PostgresStatements.DeleteClaims(hash, Now, database.Listable));

    public ValueTask<BlobPlace?> RemoveExpiredAsync(Bytes32 hash, long now, CancellationToken cancellationToken) =>
        RemoveAsync(hash, PostgresStatements.DeleteEnded(hash, now, database.Listable));

    public ValueTask<IReadOnlyList<Bytes32>> FindExpiredAsync(long now, int limit, CancellationToken cancellationToken) =>
        FindAsync(() => PostgresStatements.Ended(now, limit), cancellationToken);

    private ValueTask<IReadOnlyList<Bytes32>> FindAsync(Func<NpgsqlBatchCommand> question, CancellationToken cancellationToken) =>
        database.AskAsync<IReadOnlyList<Bytes32>>(
        async (connection, cancellation) =>
        {
            await using var command = new NpgsqlBatch(connection) { BatchCommands = { question() } };
            await using var reader = await command.ExecuteReaderAsync(cancellation);
            var found = new List<Bytes32>();
            while (await reader.ReadAsync(cancellation))
            {
                found.Add(new Bytes32(reader.GetFieldValue<byte[]>(0)));
            }

            return found;
        },
        cancellationToken);

    public ValueTask<IReadOnlyList<BlobEntry>?> ListAsync(Bytes32 owner, Bytes32? after, int limit, CancellationToken cancellationToken) =>
        database.AskAsync<IReadOnlyList<BlobEntry>?>(
        async (connection, cancellation) =>
        {
            long? position = null;
            if (after is not null)
            {
                await using var question = new NpgsqlCommand(PostgresStatements.Position, connection)
                {
                    Parameters = { PostgresStatements.Bytes(owner), PostgresStatements.Bytes(after) },
                };
                if (await question.ExecuteScalarAsync(cancellation) is not long uploaded)
                {
                    return null;
                }

                position = uploaded;
            }

            await using var command = new NpgsqlCommand(PostgresStatements.Page, connection)
            {
                Parameters =
                {
                    PostgresStatements.Bytes(owner), PostgresStatements.Number(Now), PostgresStatements.Bytes(after), PostgresStatements.Number(limit),
                        PostgresStatements.Number(position),
                },
            };
            await using var reader = await command.ExecuteReaderAsync(cancellation);
            var page = new List<BlobEntry>();
            while (await reader.ReadAsync(cancellation))
            {
                page.Add(EntryOf(reader, new Bytes32(reader.GetFieldValue<byte[]>(6))));
            }

            return page;
        },
        cancellationToken);

    public async IAsyncEnumerable<BlobClaim> AllAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand(PostgresStatements.All, connection);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            yield return new BlobClaim(
                new Bytes32(reader.GetFieldValue<byte[]>(0)), new Bytes32(reader.GetFieldValue<byte[]>(1)), reader.GetInt64(2), reader.GetString(3),
                reader.GetInt64(4), reader.IsDBNull(5) ? null : reader.GetInt64(5), reader.GetGuid(6), reader.GetInt64(7));
        }
    }

    public async ValueTask ProbeAsync(CancellationToken cancellationToken)
    {
        if (_countedAt is { } at && time.GetElapsedTime(at) < CountInterval)
        {
            await database.AskAsync(
                async (connection, cancellation) =>
                {
                    await using var command = new NpgsqlCommand("SELECT 1", connection);
                    return await command.ExecuteScalarAsync(cancellation);
                },
                cancellationToken);
            return;
        }

        var totals = await database.AskAsync(
            async (connection, cancellation) =>
            {
                await using var forget = new NpgsqlCommand(PostgresStatements.ForgetRemoved, connection)
                {
                    Parameters = { PostgresStatements.Number(Now - (long)RemovedPositions.MaxAge.TotalSeconds) },
                };
                await forget.ExecuteNonQueryAsync(cancellation);
                await using var command = new NpgsqlCommand(PostgresStatements.Count, connection);
                await using var reader = await command.ExecuteReaderAsync(cancellation);
                await reader.ReadAsync(cancellation);
                return new BlobTotals(reader.GetInt64(0), reader.GetInt64(1), reader.GetInt64(2));
            },
            cancellationToken);
        lock (_totalsGate)
        {
            _totals = totals; // a change that ended meanwhile may be missing until the next count
        }

        _countedAt = time.GetTimestamp();
    }

    public ValueTask DisposeAsync() => database.DisposeAsync();

    private ValueTask<BlobPlace?> RemoveAsync(Bytes32 hash, NpgsqlBatchCommand delete) => database.ChangeAsync(async connection =>
    {
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { PostgresStatements.Lock(hash), delete, PostgresStatements.DropIfFree(hash) } };
        await using var reader = await batch.ExecuteReaderAsync(CancellationToken.None);
        await reader.NextResultAsync();
        var claims = 0;
        while (await reader.ReadAsync())
        {
            claims++;
        }

        await reader.NextResultAsync();
        return await ReadGoneAsync(reader, hash, claims);
    });

    /// <summary>The one value of this result; moves on to the next.</summary>
    private static async ValueTask<T> ReadAsync<T>(DbDataReader reader)
    {
        await reader.ReadAsync();
        var value = reader.GetFieldValue<T>(0);
        await reader.NextResultAsync();
        return value;
    }

    private static async ValueTask<BlobEntry?> ReadEntryAsync(DbDataReader reader, Bytes32 hash) => await reader.ReadAsync() ? EntryOf(reader, hash) : null;

    private static BlobEntry EntryOf(DbDataReader reader, Bytes32 hash) =>
        new(hash, reader.GetInt64(0), reader.GetString(1), reader.GetInt64(3), reader.IsDBNull(4)
            ? null
            : reader.GetInt64(4), (int)reader.GetInt64(5), reader.GetGuid(2));

    /// <summary>Where the bytes are when the blob's row went, and the totals without it and the claims.</summary>
    private async ValueTask<BlobPlace?> ReadGoneAsync(DbDataReader reader, Bytes32 hash, int claims)
    {
        var (place, size) = await reader.ReadAsync() ? (new BlobPlace(hash, reader.GetGuid(0)), reader.GetInt64(1)) : ((BlobPlace?)null, 0L);
        await FinishAsync(reader);
        Count(place is null ? 0 : -1, -claims, -size);
        return place;
    }

    /// <summary>Reads to the word that the transaction is committed: results alone do not say so.</summary>
    private static async ValueTask FinishAsync(DbDataReader reader)
    {
        while (await reader.NextResultAsync())
        {
        }
    }

    private void Count(int blobs, int claims, long bytes)
    {
        lock (_totalsGate)
        {
            _totals = new BlobTotals(_totals.Blobs + blobs, _totals.Claims + claims, _totals.Bytes + bytes);
        }
    }
}
