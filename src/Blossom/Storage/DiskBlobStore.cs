using System.Runtime.CompilerServices;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>Blobs as plain files: <c>objects/ab/cd/&lt;hash&gt;</c>, drafts in <c>incoming/</c>, files on their way out in <c>leaving/</c>.</summary>
/// <remarks>
/// Commit is fsync of the file, rename, fsync of the directory. Deletion renames the file out of sight first and overwrites it when the last
/// reader has closed it, so that a download under way never sees the overwriting. Paths are built from the hash, never from what a client wrote.
/// </remarks>
internal sealed class DiskBlobStore : IBlobStore
{
    private readonly string _objects;
    private readonly string _incoming;
    private readonly string _leaving;
    private readonly string _root;
    private readonly TimeProvider _time;
    private readonly Lock _readersLock = new();
    private readonly Dictionary<Bytes32, OpenBlob> _readers = [];
    private long _freeBytes;
    private long _freeBytesUntil = long.MinValue;

    public DiskBlobStore(string root, TimeProvider time)
    {
        _root = Path.GetFullPath(root);
        _time = time;
        _objects = Directory.CreateDirectory(Path.Combine(_root, "objects")).FullName;
        _incoming = Directory.CreateDirectory(Path.Combine(_root, "incoming")).FullName;
        _leaving = Directory.CreateDirectory(Path.Combine(_root, "leaving")).FullName;
    }

    public long FreeBytes
    {
        get
        {
            // statvfs at most once a second: it is asked for with every upload.
            var now = _time.GetTimestamp();
            if (now >= Volatile.Read(ref _freeBytesUntil))
            {
                Volatile.Write(ref _freeBytes, new DriveInfo(_root).AvailableFreeSpace);
                Volatile.Write(ref _freeBytesUntil, now + _time.TimestampFrequency);
            }

            return Volatile.Read(ref _freeBytes);
        }
    }

    public ValueTask RecoverAsync(CancellationToken cancellationToken)
    {
        foreach (var path in Directory.EnumerateFiles(_incoming).Concat(Directory.EnumerateFiles(_leaving)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            Shred(path);
        }

        return ValueTask.CompletedTask;
    }

    public BlobDraft Begin() => new DiskBlobDraft(this, Path.Combine(_incoming, Guid.NewGuid().ToString("N")));

    public ValueTask<BlobReader?> OpenAsync(Bytes32 hash, CancellationToken cancellationToken)
    {
        OpenBlob open;
        SafeFileHandle handle;
        lock (_readersLock)
        {
            // Inside the lock, so that a deletion either finds this reader counted or has renamed the file already.
            try
            {
                handle = File.OpenHandle(PathOf(hash), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            }
            catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
            {
                return ValueTask.FromResult<BlobReader?>(null);
            }

            if (!_readers.TryGetValue(hash, out open!))
            {
                _readers.Add(hash, open = new OpenBlob());
            }

            open.Readers++;
        }

        return ValueTask.FromResult<BlobReader?>(new DiskBlobReader(this, hash, open, handle));
    }

    public ValueTask<bool> DeleteAsync(Bytes32 hash, CancellationToken cancellationToken)
    {
        var source = PathOf(hash);
        var target = Path.Combine(_leaving, Guid.NewGuid().ToString("N"));
        lock (_readersLock)
        {
            try
            {
                File.Move(source, target);
            }
            catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
            {
                return ValueTask.FromResult(false);
            }

            if (_readers.Remove(hash, out var open))
            {
                open.Leaving = target; // the last reader overwrites it
                return ValueTask.FromResult(true);
            }
        }

        Shred(target);
        return ValueTask.FromResult(true);
    }

    public async IAsyncEnumerable<Bytes32> ListAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.Yield();
        foreach (var path in Directory.EnumerateFiles(_objects, "*", SearchOption.AllDirectories))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (Bytes32.TryParseHex(Path.GetFileName(path).AsSpan(), out var hash))
            {
                yield return hash;
            }
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>The durable half of an upload. The caller holds the stripe of the hash.</summary>
    internal void Publish(string draftPath, Bytes32 hash)
    {
        var path = PathOf(hash);
        var folder = Path.GetDirectoryName(path)!;
        if (!Directory.Exists(folder))
        {
            CreateFolderDurably(folder);
        }

        if (File.Exists(path))
        {
            File.Delete(draftPath);
        }
        else
        {
            File.Move(draftPath, path);
        }

        FileSync.Directory(folder);
    }

    internal void Close(Bytes32 hash, OpenBlob open)
    {
        string? leaving = null;
        lock (_readersLock)
        {
            if (--open.Readers == 0)
            {
                leaving = open.Leaving;
                if (leaving is null)
                {
                    _readers.Remove(hash);
                }
            }
        }

        if (leaving is not null)
        {
            Shred(leaving);
        }
    }

    /// <summary>Day of writing as file time: when exactly somebody uploaded is nobody's business (blossom.md 4.4).</summary>
    internal DateTime Today => _time.GetUtcNow().UtcDateTime.Date;

    private string PathOf(Bytes32 hash)
    {
        var name = hash.ToString();
        return Path.Combine(_objects, name[..2], name[2..4], name);
    }

    private void CreateFolderDurably(string folder)
    {
        var parent = Path.GetDirectoryName(folder)!;
        Directory.CreateDirectory(folder);
        FileSync.Directory(parent);
        FileSync.Directory(_objects);
    }

    /// <summary>Overwrites with zeros, makes that durable, unlinks. On copy-on-write and flash media the old cells may outlive this; see docs/conformance/bud-12.md.</summary>
    private void Shred(string path)
    {
        using (var file = File.OpenHandle(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete))
        {
            var zeros = new byte[64 * 1024];
            var length = RandomAccess.GetLength(file);
            for (long offset = 0; offset < length; offset += zeros.Length)
            {
                RandomAccess.Write(file, zeros.AsSpan(0, (int)Math.Min(zeros.Length, length - offset)), offset);
            }

            RandomAccess.FlushToDisk(file);
        }

        File.Delete(path);
        FileSync.Directory(_leaving);
    }

    /// <summary>Readers of one file; guarded by the store's lock.</summary>
    internal sealed class OpenBlob
    {
        public int Readers { get; set; }

        public string? Leaving { get; set; }
    }
}
