using System.Runtime.CompilerServices;
using Marmot.Relay.Storage.Native;

namespace Marmot.Relay.Storage.Index;

/// <summary>A transaction. Spans it hands out live until it ends; disposing without <see cref="Commit"/> undoes a write.</summary>
internal unsafe ref struct LmdbTransaction
{
    private readonly LmdbEnvironment? _readerOwner;
    private nint _handle;

    internal LmdbTransaction(LmdbEnvironment? readerOwner, nint handle)
    {
        _readerOwner = readerOwner;
        _handle = handle;
    }

    public readonly nint Handle => _handle;

    public readonly bool TryGet(uint dbi, scoped ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value)
    {
        fixed (byte* k = key)
        {
            Lmdb.Value mk = new() { Size = (nuint)key.Length, Data = k }, mv;
            var rc = Lmdb.Get(_handle, dbi, &mk, &mv);
            if (rc == Lmdb.Success)
            {
                value = new ReadOnlySpan<byte>(mv.Data, (int)mv.Size);
                return true;
            }

            if (rc != Lmdb.NotFound)
            {
                throw new LmdbException(rc);
            }
        }

        value = default;
        return false;
    }

    /// <summary>Reads by an MDB_INTEGERKEY key.</summary>
    public readonly bool TryGet(uint dbi, ulong key, out ReadOnlySpan<byte> value) =>
        TryGet(dbi, new ReadOnlySpan<byte>(&key, sizeof(ulong)), out value);

    public readonly void Put(uint dbi, scoped ReadOnlySpan<byte> key, scoped ReadOnlySpan<byte> value, uint flags = 0)
    {
        fixed (byte* k = key, v = value)
        {
            Lmdb.Value mk = new() { Size = (nuint)key.Length, Data = k }, mv = new() { Size = (nuint)value.Length, Data = v };
            LmdbException.ThrowIfFailed(Lmdb.Put(_handle, dbi, &mk, &mv, flags));
        }
    }

    /// <summary>Writes under an MDB_INTEGERKEY key.</summary>
    public readonly void Put(uint dbi, ulong key, scoped ReadOnlySpan<byte> value, uint flags = 0) =>
        Put(dbi, new ReadOnlySpan<byte>(&key, sizeof(ulong)), value, flags);

    public readonly bool Delete(uint dbi, scoped ReadOnlySpan<byte> key)
    {
        fixed (byte* k = key)
        {
            Lmdb.Value mk = new() { Size = (nuint)key.Length, Data = k };
            var rc = Lmdb.Delete(_handle, dbi, &mk, null);
            if (rc is not (Lmdb.Success or Lmdb.NotFound))
            {
                throw new LmdbException(rc);
            }

            return rc == Lmdb.Success;
        }
    }

    public readonly bool Delete(uint dbi, ulong key) => Delete(dbi, new ReadOnlySpan<byte>(&key, sizeof(ulong)));

    public readonly long Count(uint dbi)
    {
        Lmdb.Stat stat;
        LmdbException.ThrowIfFailed(Lmdb.DbStat(_handle, dbi, &stat));
        return (long)stat.Entries;
    }

    public readonly LmdbCursor OpenCursor(uint dbi)
    {
        nint cursor;
        LmdbException.ThrowIfFailed(Lmdb.CursorOpen(_handle, dbi, &cursor));
        return new LmdbCursor(cursor);
    }

    public void Commit()
    {
        var handle = _handle;
        _handle = 0;
        LmdbException.ThrowIfFailed(Lmdb.TxnCommit(handle));
    }

    public void Dispose()
    {
        if (_handle == 0)
        {
            return;
        }

        if (_readerOwner is not null)
        {
            _readerOwner.ReturnReader(_handle);
        }
        else
        {
            Lmdb.TxnAbort(_handle);
        }

        _handle = 0;
    }
}

/// <summary>A position in one database. Closed before its transaction ends; its spans die with the next move of a writer.</summary>
internal unsafe struct LmdbCursor : IDisposable
{
    private nint _handle;
    private Lmdb.Value _key;
    private Lmdb.Value _value;

    internal LmdbCursor(nint handle) => _handle = handle;

    public readonly ReadOnlySpan<byte> Key => new(_key.Data, (int)_key.Size);

    public readonly ReadOnlySpan<byte> Value => new(_value.Data, (int)_value.Size);

    public bool First() => Move(Lmdb.CursorFirst);

    public bool Last() => Move(Lmdb.CursorLast);

    public bool Next() => Move(Lmdb.CursorNext);

    public bool Previous() => Move(Lmdb.CursorPrevious);

    /// <summary>Goes to the first key at or after <paramref name="key"/>.</summary>
    public bool Seek(scoped ReadOnlySpan<byte> key)
    {
        fixed (byte* k = key)
        {
            _key = new Lmdb.Value { Size = (nuint)key.Length, Data = k };
            return Move(Lmdb.CursorSetRange);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Move(int operation)
    {
        fixed (Lmdb.Value* k = &_key, v = &_value)
        {
            var rc = Lmdb.CursorGet(_handle, k, v, operation);
            if (rc is not (Lmdb.Success or Lmdb.NotFound))
            {
                throw new LmdbException(rc);
            }

            return rc == Lmdb.Success;
        }
    }

    public void Dispose()
    {
        if (_handle != 0)
        {
            Lmdb.CursorClose(_handle);
            _handle = 0;
        }
    }
}
