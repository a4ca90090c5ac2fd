using System.Runtime.CompilerServices;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Storage;

/// <summary>Blobs as plain files: <c>objects/ab/&lt;hash&gt;</c>, drafts in <c>incoming/</c>, files on their way out in <c>leaving/</c>; the smallest together
/// in <c>small.cells</c>.</summary>
/// <remarks>
/// A blob in a cell has a mark, one in a file has none.
/// Commit is fsync of the file, rename, fsync of the directory. Deletion renames the file out of sight first and overwrites it when the last
/// reader has closed it, so that a download under way never sees the overwriting. Paths are built from the hash, never from what a client wrote.
/// The 256 folders are made once, so that an upload makes one directory durable and not three.
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
    private readonly CellFile _cells;
    private readonly UploadBuffers _buffers = new();

    /// <param name="root">The folder.</param>
    /// <param name="time">The clock of file times.</param>
    /// <param name="open">Opens the file of small blobs; tests put theirs.</param>
    public DiskBlobStore(string root, TimeProvider time, Func<string, IDiskFile>? open = null)
    {
        var full = Path.GetFullPath(root);
        _free = new FreeSpace(full, time);
        _time = time;
        _objects = Directory.CreateDirectory(Path.Combine(full, "objects")).FullName;
        _incoming = Directory.CreateDirectory(Path.Combine(full, "incoming")).FullName;
        for (var shard = 0; shard < 256; shard++)
        {
            Directory.CreateDirectory(Path.Combine(_objects, $"{shard:x2}"));
        }

        Folders.Flush(_objects);
        _leaving = Directory.CreateDirectory(Path.Combine(full, "leaving")).FullName;
        _cells = new CellFile(Path.Combine(full, "small.cells"), open);
    }

    public long FreeBytes => _free.Bytes;

    public ValueTask RecoverAsync(CancellationToken cancellationToken)
    {
        foreach (var path in Directory.EnumerateFiles(_incoming).Concat(Directory.EnumerateFiles(_leaving)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            Shred(path);
        }

        _cells.Recover(cancellationToken);
        return ValueTask.CompletedTask;
    }

    public int DamagedBlobs => _cells.Damaged;

    public bool IsDamaged(BlobPlace place) => place.Mark != Guid.Empty && _cells.IsDamaged(place);

    public async ValueTask SortOutSuspectsAsync(Func<ValueTask<IReadOnlyCollection<BlobPlace>>>? claimed, CancellationToken cancellationToken)
    {
        if (_cells.HasSuspects)
        {
            await _cells.SortOutSuspectsAsync(claimed is null ? null : (await claimed()).Where(place => place.Mark != Guid.Empty));
        }
    }

    public ValueTask<bool> HoldsAsync(BlobPlace place, long size, CancellationToken cancellationToken) => ValueTask.FromResult(
        place.Mark != Guid.Empty ? _cells.Read(place) is not null : new FileInfo(PathOf(place.Hash)) is { Exists: true } file && file.Length == size);

    public BlobDraft Begin(Bytes32? announced) => new DiskBlobDraft(this, _cells, _buffers, Path.Combine(_incoming, Guid.NewGuid().ToString("N")));

    public ValueTask<BlobReader?> OpenAsync(BlobPlace place, CancellationToken cancellationToken)
    {
        if (place.Mark != Guid.Empty)
        {
            return ValueTask.FromResult<BlobReader?>(_cells.Read(place) is { } blob ? new CellBlobReader(blob) : null);
        }

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
        if (place.Mark != Guid.Empty)
        {
            return _cells.RemoveAsync(place);
        }

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
        foreach (var place in _cells.All(cancellationToken))
        {
            yield return new StoredBlob(place, null);
        }

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

    public ValueTask DisposeAsync()
    {
        _cells.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>The durable half of an upload. The caller holds the stripe of the hash.</summary>
    internal void Publish(string draftPath, Bytes32 hash)
    {
        var path = PathOf(hash);
        if (new FileInfo(path) is { Exists: true } older && older.Length == new FileInfo(draftPath).Length)
        {
            File.Delete(draftPath);
        }
        else
        {
            FileSync.Rename(draftPath, path);
        }

        Folders.FlushFolderOf(path);
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
        return Path.Join(_objects, name.AsSpan(0, 2), name);
    }

    /// <summary>Overwrites with zeros, makes that durable, unlinks. On copy-on-write and flash media the old cells may outlive this; see
    /// docs/conformance/bud-12.md.</summary>
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
        Folders.Flush(_leaving);
    }

    /// <summary>Readers of one file; guarded by the store's lock.</summary>
    internal sealed class OpenBlob
    {
        public int Readers { get; set; }

        public string? Leaving { get; set; }
    }
}
