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
    private readonly TimeProvider _time;
    private readonly Lock _readersLock = new();
    private readonly Dictionary<Bytes32, OpenBlob> _readers = [];
    private readonly FreeSpace _free;

    public DiskBlobStore(string root, TimeProvider time)
    {
        var full = Path.GetFullPath(root);
        _free = new FreeSpace(full, time);
        _time = time;
        _objects = Directory.CreateDirectory(Path.Combine(full, "objects")).FullName;
        _incoming = Directory.CreateDirectory(Path.Combine(full, "incoming")).FullName;
        _leaving = Directory.CreateDirectory(Path.Combine(full, "leaving")).FullName;
    }

    public long FreeBytes => _free.Bytes;

    public ValueTask RecoverAsync(CancellationToken cancellationToken)
    {
        foreach (var path in Directory.EnumerateFiles(_incoming).Concat(Directory.EnumerateFiles(_leaving)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            Shred(path);
        }

        return ValueTask.CompletedTask;
    }

    public BlobDraft Begin(Bytes32? announced) => new DiskBlobDraft(this, Path.Combine(_incoming, Guid.NewGuid().ToString("N")));

    public ValueTask<BlobReader?> OpenAsync(BlobPlace place, CancellationToken cancellationToken)
    {
        var hash = place.Hash;
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

    public ValueTask<bool> DeleteAsync(BlobPlace place, CancellationToken cancellationToken)
    {
        var hash = place.Hash;
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

    public async IAsyncEnumerable<StoredBlob> ListAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.Yield();
        foreach (var path in Directory.EnumerateFiles(_objects, "*", SearchOption.AllDirectories))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (Bytes32.TryParseHex(Path.GetFileName(path).AsSpan(), out var hash))
            {
                yield return new StoredBlob(new BlobPlace(hash, Guid.Empty), null);
            }
        }
    }

    public Uri? PresignedUrl(BlobPlace place, string type) => null;

    public ValueTask ProbeAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

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
