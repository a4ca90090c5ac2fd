using Marmot.Protocol.Encoding;
using Npgsql;
using NpgsqlTypes;

namespace Marmot.Blossom.Index.Postgres;

/// <summary>What <see cref="PostgresBlobIndex"/> asks of the tables of <see cref="BlossomDbContext"/>. A claim lives while it has no end or its end lies after
/// "now".</summary>
internal static class PostgresStatements
{
    private const string EntryText = """
        SELECT size, type, mark, min(uploaded), CASE WHEN bool_or(expires IS NULL) THEN NULL ELSE max(expires) END, count(*)
        FROM blossom_blobs JOIN blossom_claims USING (hash) WHERE hash = $1 AND (expires IS NULL OR expires > $2) GROUP BY hash
        """;

    private const string LockText = "SELECT mark FROM blossom_blobs WHERE hash = $1 FOR UPDATE";

    private const string LockOrCreateText = """
        INSERT INTO blossom_blobs (hash, size, type, mark) VALUES ($1, $2, $3, $4)
        ON CONFLICT (hash) DO UPDATE
            SET type = CASE WHEN blossom_blobs.type = 'application/octet-stream' THEN EXCLUDED.type ELSE blossom_blobs.type END RETURNING xmax = 0
        """;

    private const string CountLiveText = "SELECT count(*) FROM blossom_claims WHERE hash = $1 AND (expires IS NULL OR expires > $2)";

    private const string PutClaimText = """
        INSERT INTO blossom_claims (hash, owner, uploaded, expires) VALUES ($1, $2, $3, $4)
        ON CONFLICT (hash, owner) DO UPDATE SET uploaded = EXCLUDED.uploaded, expires = EXCLUDED.expires RETURNING xmax = 0
        """;

    private const string JoinClaimText = """
        WITH better AS (UPDATE blossom_blobs SET type = $6 WHERE hash = $1 AND type = 'application/octet-stream' AND type <> $6)
        INSERT INTO blossom_claims (hash, owner, uploaded, expires)
        SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT FROM blossom_claims WHERE hash = $1 AND (expires IS NULL OR expires > $5))
        ON CONFLICT (hash, owner) DO UPDATE SET uploaded = EXCLUDED.uploaded, expires = EXCLUDED.expires RETURNING xmax = 0
        """;

    private const string DropIfFreeText =
        "DELETE FROM blossom_blobs WHERE hash = $1 AND NOT EXISTS (SELECT FROM blossom_claims WHERE hash = $1) RETURNING mark, size";

    private const string EndedText = "SELECT DISTINCT hash FROM blossom_claims WHERE expires <= $1 LIMIT $2";

    public const string Count = "SELECT count(*), (SELECT count(*) FROM blossom_claims), coalesce(sum(size), 0)::bigint FROM blossom_blobs";

    public const string All =
        "SELECT c.hash, c.owner, b.size, b.type, c.uploaded, c.expires, b.mark, b.read FROM blossom_claims c JOIN blossom_blobs b USING (hash)";

    private const string UnreadText =
        "SELECT hash FROM blossom_blobs b WHERE read < $1 AND NOT EXISTS (SELECT FROM blossom_claims c WHERE c.hash = b.hash AND c.uploaded >= $1) LIMIT $2";

    /// <summary>$1 owner: the bytes of all blobs it holds.</summary>
    public const string BytesOf = "SELECT coalesce(sum(b.size), 0)::bigint FROM blossom_claims c JOIN blossom_blobs b USING (hash) WHERE c.owner = $1";

    /// <summary>$1 owner, $2 hash: when it was uploaded, also when the claim was removed lately; no row when neither.</summary>
    public const string Position = """
        SELECT uploaded FROM blossom_claims WHERE owner = $1 AND hash = $2
        UNION ALL SELECT uploaded FROM blossom_removed WHERE digest = sha256($1 || $2) LIMIT 1
        """;

    /// <summary>$1 owner, $2 now, $3 last hash of the page before or null, $4 limit, $5 when that one was uploaded.</summary>
    public const string Page = """
        SELECT b.size, b.type, b.mark, mine.uploaded, live.ends, live.claims, mine.hash
        FROM blossom_claims mine JOIN blossom_blobs b USING (hash),
        LATERAL (SELECT CASE WHEN bool_or(c.expires IS NULL) THEN NULL ELSE max(c.expires) END AS ends, count(*) AS claims
                 FROM blossom_claims c WHERE c.hash = mine.hash AND (c.expires IS NULL OR c.expires > $2)) live
        WHERE mine.owner = $1 AND (mine.expires IS NULL OR mine.expires > $2)
          AND ($3 IS NULL OR mine.uploaded < $5 OR (mine.uploaded = $5 AND mine.hash > $3))
        ORDER BY mine.uploaded DESC, mine.hash LIMIT $4
        """;

    public static NpgsqlBatchCommand Entry(Bytes32 hash, long now) => Command(EntryText, Bytes(hash), Number(now));

    /// <summary>Blobs with a claim that has ended by a date.</summary>
    public static NpgsqlBatchCommand Ended(long now, int limit) => Command(EndedText, Number(now), Number(limit));

    /// <summary>Blobs neither uploaded nor read since a date.</summary>
    public static NpgsqlBatchCommand Unread(long since, int limit) => Command(UnreadText, Number(since), Number(limit));

    /// <summary>Every change begins with this or <see cref="LockOrCreate"/>.</summary>
    public static NpgsqlBatchCommand Lock(Bytes32 hash) => Command(LockText, Bytes(hash));

    /// <summary>True when the row is new.</summary>
    public static NpgsqlBatchCommand LockOrCreate(in BlobClaim claim) => Command(
        LockOrCreateText, Bytes(claim.Hash), Number(claim.Size), new NpgsqlParameter<string> { TypedValue = claim.Type },
        new NpgsqlParameter<Guid> { TypedValue = claim.Mark });

    public static NpgsqlBatchCommand CountLive(Bytes32 hash, long now) => Command(CountLiveText, Bytes(hash), Number(now));

    /// <summary>True when the claim is new, false when renewed.</summary>
    public static NpgsqlBatchCommand PutClaim(in BlobClaim claim) =>
        Command(PutClaimText, Bytes(claim.Hash), Bytes(claim.Owner), Number(claim.UploadedAt), Number(claim.ExpiresAt));

    /// <summary>As <see cref="PutClaim"/>; no row when no claim lives.</summary>
    public static NpgsqlBatchCommand JoinClaim(in BlobClaim claim, long now) =>
        Command(
            JoinClaimText, Bytes(claim.Hash), Bytes(claim.Owner), Number(claim.UploadedAt), Number(claim.ExpiresAt), Number(now),
            new NpgsqlParameter<string> { TypedValue = claim.Type });

    /// <summary>A row for each claim that was there. With <paramref name="listable"/> its position in the owner's list is kept for a while
    /// (<see cref="ForgetRemoved"/>).</summary>
    public static NpgsqlBatchCommand DeleteClaim(Bytes32 hash, Bytes32 owner, long now, bool listable) =>
        Delete("$2::bigint IS NOT NULL AND owner = $3", listable, Bytes(hash), Number(now), Bytes(owner));

    public static NpgsqlBatchCommand DeleteClaims(Bytes32 hash, long now, bool listable) =>
        Delete("$2::bigint IS NOT NULL", listable, Bytes(hash), Number(now));

    public static NpgsqlBatchCommand DeleteEnded(Bytes32 hash, long now, bool listable) => Delete("expires <= $2", listable, Bytes(hash), Number(now));

    /// <summary>All claims of a blob that nobody uploaded or read since a date.</summary>
    public static NpgsqlBatchCommand DeleteUnread(Bytes32 hash, long since, bool listable) => Delete(
        "uploaded < $2 AND NOT EXISTS (SELECT FROM blossom_blobs b WHERE b.hash = $1 AND b.read >= $2) "
        + "AND NOT EXISTS (SELECT FROM blossom_claims c WHERE c.hash = $1 AND c.uploaded >= $2)",
        listable, Bytes(hash), Number(since));

    public static NpgsqlBatchCommand Touch(Bytes32 hash, long readAt) =>
        Command("UPDATE blossom_blobs SET read = $2 WHERE hash = $1 AND read < $2", Bytes(hash), Number(readAt));

    /// <summary>$1 unix seconds: positions of claims that were removed earlier go.</summary>
    public const string ForgetRemoved = "DELETE FROM blossom_removed WHERE removed < $1";

    // Of a removed claim only a digest is kept: who has neither key nor hash learns nothing from it.
    private static NpgsqlBatchCommand Delete(string which, bool listable, params ReadOnlySpan<NpgsqlParameter> parameters) => Command(
        listable
            ? $"""
              WITH gone AS (DELETE FROM blossom_claims WHERE hash = $1 AND {which} RETURNING owner, hash, uploaded)
              INSERT INTO blossom_removed (digest, uploaded, removed) SELECT sha256(owner || hash), uploaded, $2 FROM gone
              ON CONFLICT (digest) DO UPDATE SET uploaded = EXCLUDED.uploaded, removed = EXCLUDED.removed RETURNING true
              """
            : $"DELETE FROM blossom_claims WHERE hash = $1 AND {which} RETURNING true",
        parameters);

    public static NpgsqlBatchCommand Move(Bytes32 hash, Guid mark) =>
        Command("UPDATE blossom_blobs SET mark = $2 WHERE hash = $1", Bytes(hash), new NpgsqlParameter<Guid> { TypedValue = mark });

    /// <summary>Mark and size when that was the last claim.</summary>
    public static NpgsqlBatchCommand DropIfFree(Bytes32 hash) => Command(DropIfFreeText, Bytes(hash));

    public static NpgsqlParameter Bytes(Bytes32? value) =>
        new() { Value = value is { } bytes ? bytes.Span.ToArray() : DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bytea };

    public static NpgsqlParameter Number(long? value) => new() { Value = value ?? (object)DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint };

    private static NpgsqlBatchCommand Command(string text, params ReadOnlySpan<NpgsqlParameter> parameters)
    {
        var command = new NpgsqlBatchCommand(text);
        foreach (var parameter in parameters)
        {
            command.Parameters.Add(parameter);
        }

        return command;
    }
}
