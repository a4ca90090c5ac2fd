namespace Marmot.Relay.Storage.Postgres;

/// <summary>An event's bytes as they stand in the table: as they are up to 8,000 bytes, longer ones padded with spaces to whole TOAST chunks.</summary>
/// <remarks>PostgreSQL keeps long values in pieces of 1,996 bytes. When every piece is whole, the holes left by a removed event are all of one size and
/// <see cref="PostgresErasure"/> finds each.</remarks>
internal static class StoredBytes
{
    /// <summary>What surely fits into one 8 KiB page with its row.</summary>
    public const int MaxInline = 8000;

    /// <summary>TOAST_MAX_CHUNK_SIZE with pages of 8 KiB, which is how PostgreSQL is built everywhere.</summary>
    public const int ChunkSize = 1996;

    public static byte[] Pad(byte[] json)
    {
        if (json.Length <= MaxInline)
        {
            return json;
        }

        var padded = new byte[(json.Length + ChunkSize - 1) / ChunkSize * ChunkSize];
        json.CopyTo(padded, 0);
        padded.AsSpan(json.Length).Fill((byte)' ');
        return padded;
    }

    /// <summary>An event ends with a brace, so spaces after it are padding.</summary>
    public static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> stored) => stored.TrimEnd((byte)' ');
}
