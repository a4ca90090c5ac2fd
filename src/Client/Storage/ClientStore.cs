using Marmot.Platform.Files;

namespace Marmot.Client.Storage;

/// <summary>The client's one store: small values by key, changed in batches that are on disk, whole, when <see cref="Commit"/> returns.</summary>
/// <remarks>
/// An encrypted log (<see cref="EncryptedLog"/>) with all live values in memory, and beside it pages (<see cref="PageFolder"/>) for what is seldom read. One
/// process at a time: the log is locked while it is open. Thread-safe.
/// </remarks>
public sealed class ClientStore : IDisposable
{
    /// <summary>Name of the log inside the folder.</summary>
    public const string FileName = "client.store";

    /// <summary>Name of the folder of pages inside the folder.</summary>
    public const string PageFolderName = "history";

    /// <summary>Keys of values that are a <see cref="PageReference"/> begin so.</summary>
    internal const string PagePrefix = "h/";

    /// <summary>There while the store may be a copy that was put back and nobody has drawn the consequences.</summary>
    internal const string CopyKey = "copy";

    // Below this a log is not worth rewriting; above it, when three quarters are history.
    private const long MinCompactionBytes = 16 * 1024 * 1024;
    private const int CompactionFactor = 4;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, byte[]> _values = new(StringComparer.Ordinal);
    private readonly Action<IReadOnlyList<(string Key, byte[]? Value)>, bool>? _journal;
    private EncryptedLog? _log;
    private PageFolder? _pages;
    private (string Name, byte[]?[] Records) _lastPage = ("", []);
    private readonly HashSet<(string Page, int Record)> _damaged = [];
    private readonly SemaphoreSlim _flushing = new(1, 1);
    private long _liveBytes;
    private long _commits;
    private long _flushed; // all of the first so many commits are on disk

    private ClientStore(Action<IReadOnlyList<(string Key, byte[]? Value)>, bool>? journal = null) => _journal = journal;

    /// <summary>Bytes of the log on disk; 0 in memory.</summary>
    public long FileBytes => _log?.Length ?? 0;

    /// <summary>Bytes of the live values.</summary>
    public long LiveBytes => _liveBytes;

    /// <summary>Opens the store in a folder (made with mode 0700 when missing); a torn tail of a crash is cut off.</summary>
    /// <exception cref="InvalidDataException">The secret is wrong, the file is damaged (then it is left as it is), or it is no store.</exception>
    /// <exception cref="IOException">Another process has it open.</exception>
    public static ClientStore Open(string folder, StoreSecret secret) => Open(folder, secret, recorder: null);

    internal static ClientStore Open(string folder, StoreSecret secret, IStoreRecorder? recorder)
    {
        Folders.CreateOwnerOnly(folder);
        var store = new ClientStore();
        store._log = EncryptedLog.Open(Path.Combine(folder, FileName), secret, store.Apply, recorder);
        try
        {
            if (store._log.MayBeCopy)
            {
                // Remembered before the mark accepts the file, so that no crash in between can hide it.
                var batch = new StoreBatch();
                batch.Put(CopyKey, [1]);
                store.Commit(batch);
            }

            store._log.Accept();
            store._pages = new PageFolder(Path.Combine(folder, PageFolderName), store.Scan(PagePrefix)
                .Select(pair => StoreJson.Read<PageReference>(pair.Value)), recorder);
            return store;
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    /// <summary>A store that ends with the process.</summary>
    public static ClientStore InMemory() => new();

    /// <summary>A store in memory that hands each batch to a journal before it counts; a journal that throws is a crash of the process.</summary>
    internal static ClientStore InMemory(IEnumerable<KeyValuePair<string, byte[]>> values, Action<IReadOnlyList<(string Key, byte[]? Value)>, bool> journal)
    {
        var store = new ClientStore(journal);
        foreach (var (key, value) in values)
        {
            store.Apply(key, value);
        }

        return store;
    }

    /// <summary>A value, or null. Do not change the array.</summary>
    public byte[]? Get(string key)
    {
        lock (_gate)
        {
            return _values.GetValueOrDefault(key);
        }
    }

    /// <summary>A value read as JSON, or null.</summary>
    public T? GetJson<T>(string key)
        where T : class => Get(key) is { } json ? StoreJson.Read<T>(json) : null;

    /// <summary>All values whose key starts so, by key.</summary>
    public IReadOnlyList<(string Key, byte[] Value)> Scan(string prefix)
    {
        lock (_gate)
        {
            return [
                .. _values.Where(pair => pair.Key.StartsWith(prefix, StringComparison.Ordinal)).Select(pair => (pair.Key, pair.Value))
                    .OrderBy(pair => pair.Key, StringComparer.Ordinal)
            ];
        }
    }

    /// <summary>Makes all changes of a batch true at once.</summary>
    /// <param name="batch">The changes; used up.</param>
    /// <param name="durable">False leaves the flush to <see cref="FlushAsync"/> or the next durable batch: for what may be lost and found again, such as a
    /// delivered outbox entry.</param>
    public void Commit(StoreBatch batch, bool durable = true)
    {
        if (batch.IsEmpty)
        {
            return;
        }

        lock (_gate)
        {
            _journal?.Invoke(batch.Changes, durable);
            _log?.Append(batch.Changes, durable);
            foreach (var (key, value) in batch.Changes)
            {
                Apply(key, value);
            }

            _commits++;
            _flushed = durable ? _commits : _flushed;

            if (_log is not null && _log.Length > Math.Max(MinCompactionBytes, CompactionFactor * _liveBytes))
            {
                _log.Rewrite(_values);
            }
        }
    }

    /// <summary>Everything committed so far is on disk when this is done. Steps that ask at the same time share one flush.</summary>
    internal async Task FlushAsync(CancellationToken cancellationToken)
    {
        long wanted = Interlocked.Read(ref _commits);
        await _flushing.WaitAsync(cancellationToken);
        try
        {
            long upTo;
            StoreFile? file;
            ulong frames;
            lock (_gate)
            {
                (upTo, file, frames) = (_commits, _log?.File, _log?.Frames ?? 0);
                if (_flushed >= wanted)
                {
                    return;
                }

                _journal?.Invoke([], true);
            }

            try
            {
                if (file is not null)
                {
                    _log!.FlushFile(file);
                }
            }
            catch (ObjectDisposedException)
            {
                // Rewritten meanwhile: the new file is on disk.
            }

            lock (_gate)
            {
                _flushed = Math.Max(_flushed, upTo);
                if (file is not null && _log!.File == file)
                {
                    _log.MarkFlushed(frames);
                }
            }
        }
        finally
        {
            _flushing.Release();
        }
    }

    /// <summary>False when everything must stay in memory.</summary>
    internal bool HasPages => _pages is not null;

    /// <summary>Writes a page, which is on disk when this returns; it is deleted at the next start unless a value under <see cref="PagePrefix"/> refers to
    /// it.</summary>
    internal PageReference WritePage(IReadOnlyList<byte[]> records) => _pages!.Write(records);

    /// <summary>Records of the history that were found damaged since the store was opened: they are left out, what stands around them is there.</summary>
    public int DamagedRecords
    {
        get
        {
            lock (_gate)
            {
                return _damaged.Count;
            }
        }
    }

    /// <summary>A record of a page; the last page read is kept. Do not change the array. Null when it is damaged, which is counted.</summary>
    internal byte[]? ReadPage(PageReference page, int record)
    {
        lock (_gate)
        {
            if (_lastPage.Name != page.Name)
            {
                try
                {
                    _lastPage = (page.Name, _pages?.Read(page) ?? throw new InvalidOperationException("a store in memory has no pages"));
                }
                catch (InvalidDataException)
                {
                    _damaged.Add((page.Name, record));
                    return null;
                }
            }

            if (record < _lastPage.Records.Length && _lastPage.Records[record] is { } content)
            {
                return content;
            }

            _damaged.Add((page.Name, record));
            return null;
        }
    }

    /// <summary>Closes the file; values in memory are wiped.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _log?.Dispose();
            _flushing.Dispose();
            foreach (byte[] value in _values.Values)
            {
                System.Security.Cryptography.CryptographicOperations.ZeroMemory(value);
            }

            _values.Clear();
            foreach (byte[]? record in _lastPage.Records)
            {
                System.Security.Cryptography.CryptographicOperations.ZeroMemory(record);
            }

            _lastPage = ("", []);
        }
    }

    private void Apply(string key, byte[]? value)
    {
        // Old values may still be in a reader's hand, so they are left to the collector; Dispose wipes what is live.
        if (_values.Remove(key, out byte[]? old))
        {
            _liveBytes -= key.Length + old.Length;
        }

        if (value is not null)
        {
            _values[key] = value;
            _liveBytes += key.Length + value.Length;
        }
    }
}
