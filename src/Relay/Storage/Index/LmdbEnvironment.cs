using System.Collections.Concurrent;
using System.Text;
using Marmot.Platform.Files;
using Marmot.Relay.Storage.Native;

namespace Marmot.Relay.Storage.Index;

/// <summary>One LMDB environment: opened once a path and process, closed after its last transaction.</summary>
/// <remarks>Read transactions come from a pool of reset ones (MDB_NOTLS), at most <see cref="MaxReaders"/> at a time.</remarks>
internal sealed unsafe class LmdbEnvironment : IDisposable
{
    private const uint MaxReaders = 512;
    private const uint MaxDatabases = 16;
    private readonly nint _env;
    private readonly ConcurrentBag<nint> _readers = [];
    private readonly SemaphoreSlim _readerSlots = new((int)MaxReaders - 32);
    private readonly long _pageSize;
    private long _reserved;
    private bool _disposed;

    /// <param name="directory">Created when missing.</param>
    /// <param name="mapBytes">Address space, not disk space: the file grows only with its content.</param>
    /// <param name="extraFlags">Durability flags.</param>
    public LmdbEnvironment(string directory, long mapBytes, uint extraFlags)
    {
        Directory.CreateDirectory(directory);
        nint env;
        LmdbException.ThrowIfFailed(Lmdb.EnvCreate(&env));
        _env = env;
        try
        {
            LmdbException.ThrowIfFailed(Lmdb.EnvSetMapSize(env, (nuint)mapBytes));
            LmdbException.ThrowIfFailed(Lmdb.EnvSetMaxReaders(env, MaxReaders));
            LmdbException.ThrowIfFailed(Lmdb.EnvSetMaxDbs(env, MaxDatabases));
            fixed (byte* path = Encoding.UTF8.GetBytes(directory + "\0"))
            {
                LmdbException.ThrowIfFailed(Lmdb.EnvOpen(env, path, Lmdb.NoTls | Lmdb.NoReadAhead | extraFlags, 0x180 /* 0600 */));
            }

            Lmdb.Stat stat;
            LmdbException.ThrowIfFailed(Lmdb.EnvStat(env, &stat));
            _pageSize = stat.PageSize;
            int dead;
            LmdbException.ThrowIfFailed(Lmdb.ReaderCheck(env, &dead));
        }
        catch
        {
            Lmdb.EnvClose(env);
            throw;
        }
    }

    /// <summary>The only writer at a time; LMDB makes others wait. Begin and end on one thread.</summary>
    public LmdbTransaction BeginWrite()
    {
        nint txn;
        LmdbException.ThrowIfFailed(Lmdb.TxnBegin(_env, 0, 0, &txn));
        return new LmdbTransaction(null, txn);
    }

    /// <summary>A snapshot. Never held across an await: it pins the pages of its time.</summary>
    public LmdbTransaction BeginRead()
    {
        _readerSlots.Wait();
        try
        {
            if (_readers.TryTake(out var pooled))
            {
                LmdbException.ThrowIfFailed(Lmdb.TxnRenew(pooled));
                return new LmdbTransaction(this, pooled);
            }

            nint txn;
            LmdbException.ThrowIfFailed(Lmdb.TxnBegin(_env, 0, Lmdb.ReadOnly, &txn));
            return new LmdbTransaction(this, txn);
        }
        catch
        {
            _readerSlots.Release();
            throw;
        }
    }

    public uint OpenDatabase(in LmdbTransaction txn, string name, uint flags = 0)
    {
        uint dbi;
        fixed (byte* utf8 = Encoding.UTF8.GetBytes(name + "\0"))
        {
            LmdbException.ThrowIfFailed(Lmdb.DbiOpen(txn.Handle, utf8, Lmdb.Create | flags, &dbi));
        }

        return dbi;
    }

    /// <summary>Takes room on disk for pages to come. For one thread at a time.</summary>
    /// <returns>True when a commit of that many pages finds its blocks allocated, though one is under way that takes as many.</returns>
    public bool TryReserve(int pages)
    {
        Lmdb.Info info;
        LmdbException.ThrowIfFailed(Lmdb.EnvInfo(_env, &info));
        var used = ((long)info.LastPage + 1) * _pageSize;
        var bytes = pages * _pageSize;
        if (_reserved - used >= bytes * 2)
        {
            return true;
        }

        int file;
        LmdbException.ThrowIfFailed(Lmdb.EnvGetFd(_env, &file));
        if (!FileData.TryReserve(file, used, bytes * 4))
        {
            return false;
        }

        _reserved = used + (bytes * 4);
        return true;
    }

    public void Sync() => LmdbException.ThrowIfFailed(Lmdb.EnvSync(_env, 1));

    internal void ReturnReader(nint txn)
    {
        Lmdb.TxnReset(txn);
        _readers.Add(txn);
        _readerSlots.Release();
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        while (_readers.TryTake(out var txn))
        {
            Lmdb.TxnAbort(txn);
        }

        Lmdb.EnvClose(_env);
        _readerSlots.Dispose();
    }
}
