using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Marmot.Blossom.Storage;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Index;

/// <summary>The embedded index: one file of fixed slots (<see cref="SlotFile"/>), all claims in memory, one loop that writes and flushes in batches.</summary>
/// <remarks>
/// Nothing is appended for ever: removing a claim overwrites its slot with zeros, so deleted metadata is gone from the file and the slot is used again.
/// A renewed claim is written to a new slot, flushed and acknowledged; only then the old slot is erased, with a flush of its own before the next batch: without
/// that barrier a power cut could keep the erasure and lose the new slot. If one keeps both, the newer counts on opening.
/// </remarks>
internal sealed class SlotFileIndex : IBlobIndex
{
    private const int MaxBatch = 512;

    private readonly SafeFileHandle _lock;
    private readonly SlotFile _file;
    private readonly ClaimTable _table;
    private readonly Channel<Change> _changes = Channel.CreateBounded<Change>(
        new BoundedChannelOptions(4096) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    private readonly List<long> _erased = []; // to be released after the flush
    private readonly List<ClaimTable.Held> _replaced = []; // to be erased after the flush
    private readonly Task _loop;

    /// <param name="path">The file; made when it is not there.</param>
    /// <param name="time">The clock that ends claims.</param>
    /// <param name="listable">Whether owners are keys that can be asked for.</param>
    /// <param name="open">Opens the file; tests put theirs.</param>
    public SlotFileIndex(string path, TimeProvider time, bool listable, Func<string, IDiskFile>? open = null)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        _table = new ClaimTable(time, listable);
        // A second server on the same folder must fail at once. A file of its own, so that backups may read the index.
        _lock = File.OpenHandle(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        _file = new SlotFile((open ?? DiskFile.Open)(path));
        _file.Load(Take);
        _file.Flush(); // what a killed process wrote may be in memory only, and the erasures below count on it
        Folders.FlushFolderOf(path);
        _loop = Task.Run(WriteAsync);
    }

    public int DamagedClaims => _file.Damaged;

    public BlobTotals Totals => _table.Totals;

    public ValueTask<BlobEntry?> FindAsync(Bytes32 hash, CancellationToken cancellationToken) => ValueTask.FromResult(_table.Find(hash));

    public ValueTask<BlobEntry?> FindAsync(Bytes32 hash, long now, CancellationToken cancellationToken) => ValueTask.FromResult(_table.Find(hash, now));

    public async ValueTask<AddedClaim> AddAsync(BlobClaim claim, CancellationToken cancellationToken)
    {
        var outcome = await SubmitAsync(new Change(ChangeKind.Add) { Claim = claim }, cancellationToken);
        return new AddedClaim(outcome.Entry!, outcome.IsNew);
    }

    public async ValueTask<BlobEntry?> JoinAsync(BlobClaim claim, CancellationToken cancellationToken) =>
        (await SubmitAsync(new Change(ChangeKind.Join) { Claim = claim }, cancellationToken)).Entry;

    public async ValueTask<RemovedClaim> RemoveAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancellationToken)
    {
        var outcome = await SubmitAsync(new Change(ChangeKind.RemoveClaim) { Claim = new BlobClaim { Hash = hash, Owner = owner } }, cancellationToken);
        return new RemovedClaim(outcome.Removal, outcome.Gone ?? default);
    }

    public async ValueTask<BlobPlace?> RemoveBlobAsync(Bytes32 hash, CancellationToken cancellationToken) =>
        (await SubmitAsync(new Change(ChangeKind.RemoveBlob) { Claim = new BlobClaim { Hash = hash } }, cancellationToken)).Gone;

    public async ValueTask<BlobPlace?> RemoveExpiredAsync(Bytes32 hash, long now, CancellationToken cancellationToken) =>
        (await SubmitAsync(new Change(ChangeKind.RemoveExpired) { Claim = new BlobClaim { Hash = hash }, Now = now }, cancellationToken)).Gone;

    public async ValueTask TouchAsync(Bytes32 hash, long readAt, CancellationToken cancellationToken) =>
        await SubmitAsync(new Change(ChangeKind.Touch) { Claim = new BlobClaim { Hash = hash }, Now = readAt }, cancellationToken);

    public async ValueTask<BlobPlace?> RemoveUnreadAsync(Bytes32 hash, long since, CancellationToken cancellationToken) =>
        (await SubmitAsync(new Change(ChangeKind.RemoveUnread) { Claim = new BlobClaim { Hash = hash }, Now = since }, cancellationToken)).Gone;

    public ValueTask<IReadOnlyList<Bytes32>> FindUnreadAsync(long since, int limit, CancellationToken cancellationToken) =>
        ValueTask.FromResult<IReadOnlyList<Bytes32>>(_table.FindUnread(since, limit));

    public ValueTask<long> BytesOfAsync(Bytes32 owner, CancellationToken cancellationToken) => ValueTask.FromResult(_table.BytesOf(owner));

    public async ValueTask MoveAsync(Bytes32 hash, Guid mark, CancellationToken cancellationToken) =>
        await SubmitAsync(new Change(ChangeKind.Move) { Claim = new BlobClaim { Hash = hash, Mark = mark } }, cancellationToken);

    public async ValueTask<int> DropDamagedAsync(CancellationToken cancellationToken) =>
        (await SubmitAsync(new Change(ChangeKind.DropDamaged), cancellationToken)).Dropped;

    public ValueTask ProbeAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public ValueTask<IReadOnlyList<Bytes32>> FindExpiredAsync(long now, int limit, CancellationToken cancellationToken) =>
        ValueTask.FromResult<IReadOnlyList<Bytes32>>(_table.TakeExpired(now, limit));

    public ValueTask<IReadOnlyList<BlobEntry>?> ListAsync(Bytes32 owner, Bytes32? after, int limit, CancellationToken cancellationToken) =>
        ValueTask.FromResult<IReadOnlyList<BlobEntry>?>(_table.List(owner, after, limit));

    public async IAsyncEnumerable<BlobClaim> AllAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.Yield();
        foreach (var claim in _table.All())
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return claim;
        }
    }

    public async ValueTask DisposeAsync()
    {
        _changes.Writer.TryComplete();
        await _loop;
        _file.Dispose();
        _lock.Dispose();
    }

    /// <summary>A claim that was found on opening.</summary>
    private void Take(ClaimTable.Held found)
    {
        var held = _table.HeldBy(found.Claim.Hash);
        var at = ClaimTable.IndexOf(held, found.Claim.Owner);
        if (at < 0)
        {
            _table.Put(found);
            return;
        }

        // Two slots of one claim: the power failed before the older one was erased. That is made up for now.
        var other = held[at];
        var isNewer = found.Sequence != other.Sequence ? found.Sequence > other.Sequence : Ends(found.Claim) > Ends(other.Claim);
        _replaced.Add(isNewer ? other : found);
        if (isNewer)
        {
            _table.Put(found);
        }

        static long Ends(in BlobClaim claim) => claim.ExpiresAt ?? long.MaxValue;
    }

    private async ValueTask<Outcome> SubmitAsync(Change change, CancellationToken cancellationToken)
    {
        await _changes.Writer.WriteAsync(change, cancellationToken);
        return await change.Done.Task; // from here on it will happen: not cancellable
    }

    /// <summary>The single writer: takes what is waiting, writes the slots, flushes once, answers all, and erases what was replaced.</summary>
    private async Task WriteAsync()
    {
        var batch = new List<Change>(MaxBatch);
        EraseReplaced(); // what the last crash left of renewals
        while (await _changes.Reader.WaitToReadAsync())
        {
            batch.Clear();
            while (batch.Count < MaxBatch && _changes.Reader.TryRead(out var change))
            {
                batch.Add(change);
            }

            foreach (var change in batch)
            {
                try
                {
                    change.Result = Apply(change);
                }
                catch (Exception error)
                {
                    change.Error = error; // a full disk: nothing of this change is in memory
                }
            }

            try
            {
                _file.Flush();
                ReleaseErased();
            }
            catch (IOException error)
            {
                batch.ForEach(change => change.Error ??= error);
            }

            batch.ForEach(change => change.Complete());
            EraseReplaced();
        }
    }

    private Outcome Apply(Change change)
    {
        var hash = change.Claim.Hash;
        var held = _table.HeldBy(hash);
        switch (change.Kind)
        {
            case ChangeKind.Join when _table.Find(hash) is null:
                return default;

            case ChangeKind.Add or ChangeKind.Join:
                var isNew = _table.Find(hash) is null;
                var claim = held.Length == 0
                    ? change.Claim
                    : change.Claim with
                    {
                        Mark = held[0].Claim.Mark,
                        Size = held[0].Claim.Size,
                        Type = ClaimTable.TypeOf(held, change.Claim.Type),
                        ReadAt = held.Max(one => one.Claim.ReadAt)
                    };
                Put(claim, ClaimTable.IndexOf(held, claim.Owner) is >= 0 and var older ? held[older] : null);
                return new Outcome { Entry = _table.Find(hash) ?? BlobEntry.Of(claim), IsNew = isNew };

            case ChangeKind.Move:
                foreach (var one in held)
                {
                    Put(one.Claim with { Mark = change.Claim.Mark }, one);
                }

                return default;

            case ChangeKind.Touch:
                foreach (var one in held.Where(one => one.Claim.ReadAt < change.Now))
                {
                    Put(one.Claim with { ReadAt = change.Now }, one);
                }

                return default;

            case ChangeKind.RemoveUnread:
                return new Outcome { Gone = ClaimTable.IsUnread(held, change.Now) ? Drop(hash, held) : null };

            case ChangeKind.RemoveClaim:
                var at = ClaimTable.IndexOf(held, change.Claim.Owner);
                if (at < 0)
                {
                    return new Outcome { Removal = held.Length > 0 ? ClaimRemoval.NotOwner : ClaimRemoval.NoBlob };
                }

                var gone = Drop(hash, [held[at]]);
                return new Outcome { Removal = gone is null ? ClaimRemoval.Removed : ClaimRemoval.RemovedLast, Gone = gone };

            case ChangeKind.RemoveBlob:
                return new Outcome { Gone = Drop(hash, held) };

            case ChangeKind.DropDamaged:
                return new Outcome { Dropped = _file.DropDamaged() };

            default:
                return new Outcome { Gone = Drop(hash, held.Where(one => one.Claim.ExpiresAt <= change.Now).ToArray()) };
        }
    }

    private void Put(in BlobClaim claim, ClaimTable.Held? older)
    {
        _table.Put(_file.Write(claim));
        if (older is { } replaced)
        {
            _replaced.Add(replaced);
        }
    }

    /// <summary>Erases claims of one blob; where its bytes are when these were all.</summary>
    private BlobPlace? Drop(Bytes32 hash, ClaimTable.Held[] removed)
    {
        if (removed.Length == 0)
        {
            return null;
        }

        // Older slots of the same claims go in the same flush: alone they would come back after a power cut. Only when all is written do the lists change, so
        // that a change which fails half way can be made again.
        bool IsOlder(ClaimTable.Held one) => one.Claim.Hash == hash && Array.Exists(removed, claim => claim.Claim.Owner == one.Claim.Owner);
        long[] slots = [.. removed.Select(one => one.Slot), .. _replaced.Where(IsOlder).Select(one => one.Slot)];
        Array.ForEach(slots, _file.Erase);
        _erased.AddRange(slots);
        _replaced.RemoveAll(IsOlder);
        return _table.Remove(hash, removed) ? new BlobPlace(hash, removed[0].Claim.Mark) : null;
    }

    /// <summary>The second step of a renewal, once the new slot is on the medium.</summary>
    private void EraseReplaced()
    {
        if (_replaced.Count == 0)
        {
            return;
        }

        try
        {
            _replaced.ForEach(older => _file.Erase(older.Slot));
            _erased.AddRange(_replaced.Select(older => older.Slot));
            _replaced.Clear();
            _file.Flush();
            ReleaseErased();
        }
        catch (IOException)
        {
            // What is left is tried again after the next batch, and made up for on opening. After a failed flush every further change is refused.
        }
    }

    /// <summary>Only after the flush: a slot is not used again while its old content might come back.</summary>
    private void ReleaseErased()
    {
        _erased.ForEach(_file.Release);
        _erased.Clear();
    }

    private enum ChangeKind
    {
        Add,
        Join,
        RemoveClaim,
        Move,
        Touch,
        RemoveUnread,
        RemoveBlob,
        RemoveExpired,
        DropDamaged,
    }

    private readonly record struct Outcome
    {
        public BlobEntry? Entry { get; init; }

        public bool IsNew { get; init; }

        public ClaimRemoval Removal { get; init; }

        public BlobPlace? Gone { get; init; }

        public int Dropped { get; init; }
    }

    private sealed class Change(ChangeKind kind)
    {
        public ChangeKind Kind { get; } = kind;

        public BlobClaim Claim { get; init; }

        public long Now { get; init; }

        public TaskCompletionSource<Outcome> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Outcome Result { get; set; }

        public Exception? Error { get; set; }

        public void Complete()
        {
            if (Error is null)
            {
                Done.SetResult(Result);
            }
            else
            {
                Done.SetException(Error);
            }
        }
    }
}
