using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Marmot.Blossom.Storage;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Microsoft.Win32.SafeHandles;

namespace Marmot.Blossom.Index;

/// <summary>The embedded index: one file of fixed slots (<see cref="ClaimSlot"/>), all claims in memory, one loop that writes and syncs in batches.</summary>
/// <remarks>
/// Nothing is appended for ever: removing a claim overwrites its slot with zeros, so deleted metadata is gone from the file and the slot is used again.
/// A torn or unacknowledged write leaves a slot that reads as free. A renewed claim is written to a new slot first and the old one erased in the same batch;
/// if a crash keeps both, the one that ends later wins on opening.
/// </remarks>
internal sealed class SlotFileIndex : IBlobIndex
{
    private const int GrowthSlots = 4096; // 1 MiB
    private const int MaxBatch = 512;
    private static readonly byte[] FreeSlot = new byte[ClaimSlot.Size];

    private readonly SafeFileHandle _lock;
    private readonly SafeFileHandle _file;
    private readonly ClaimTable _table;
    private readonly Stack<long> _free = new();
    private readonly Channel<Change> _changes = Channel.CreateBounded<Change>(
        new BoundedChannelOptions(4096) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    private readonly Task _loop;
    private long _slots;

    public SlotFileIndex(string path, TimeProvider time, bool listable)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        _table = new ClaimTable(time, listable);
        // A second server on the same folder must fail at once. A file of its own, so that backups may read the index.
        _lock = File.OpenHandle(path + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        _file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
        Load();
        Folders.FlushFolderOf(path);
        _loop = Task.Run(WriteAsync);
    }

    public BlobTotals Totals => _table.Totals;

    public ValueTask<BlobEntry?> FindAsync(Bytes32 hash, CancellationToken cancellationToken) => ValueTask.FromResult(_table.Find(hash));

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

    public async ValueTask<BlobPlace?> RemoveExpiredAsync(Bytes32 hash, CancellationToken cancellationToken) =>
        (await SubmitAsync(new Change(ChangeKind.RemoveExpired) { Claim = new BlobClaim { Hash = hash } }, cancellationToken)).Gone;

    public ValueTask ProbeAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public ValueTask<IReadOnlyList<Bytes32>> FindExpiredAsync(int limit, CancellationToken cancellationToken) =>
        ValueTask.FromResult<IReadOnlyList<Bytes32>>(_table.TakeExpired(limit));

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

    private void Load()
    {
        _slots = RandomAccess.GetLength(_file) / ClaimSlot.Size;
        var buffer = new byte[GrowthSlots * ClaimSlot.Size];
        for (long first = 0; first < _slots; first += GrowthSlots)
        {
            var read = RandomAccess.Read(_file, buffer, first * ClaimSlot.Size);
            for (var i = 0; (i + 1) * ClaimSlot.Size <= read; i++)
            {
                LoadSlot(first + i, buffer.AsSpan(i * ClaimSlot.Size, ClaimSlot.Size));
            }
        }
    }

    private void LoadSlot(long slot, ReadOnlySpan<byte> bytes)
    {
        if (!ClaimSlot.TryRead(bytes, out var claim))
        {
            if (bytes.ContainsAnyExcept((byte)0))
            {
                Erase(slot); // torn: never acknowledged, and no remains are kept
            }

            _free.Push(slot);
            return;
        }

        var held = _table.HeldBy(claim.Hash);
        var at = ClaimTable.IndexOf(held, claim.Owner);
        if (at >= 0)
        {
            var other = held[at];
            var loser = Ends(other.Claim) >= Ends(claim) ? slot : other.Slot;
            Erase(loser);
            _free.Push(loser);
            if (loser == slot)
            {
                return;
            }
        }

        _table.Put(new ClaimTable.Held(claim, slot));

        static long Ends(in BlobClaim claim) => claim.ExpiresAt ?? long.MaxValue;
    }

    private async ValueTask<Outcome> SubmitAsync(Change change, CancellationToken cancellationToken)
    {
        await _changes.Writer.WriteAsync(change, cancellationToken);
        return await change.Done.Task; // from here on it will happen: not cancellable
    }

    /// <summary>The single writer: takes what is waiting, writes the slots, syncs once, answers all.</summary>
    private async Task WriteAsync()
    {
        var batch = new List<Change>(MaxBatch);
        var freed = new List<long>();
        while (await _changes.Reader.WaitToReadAsync())
        {
            batch.Clear();
            freed.Clear();
            while (batch.Count < MaxBatch && _changes.Reader.TryRead(out var change))
            {
                batch.Add(change);
            }

            foreach (var change in batch)
            {
                try
                {
                    change.Result = Apply(change, freed);
                }
                catch (Exception error)
                {
                    change.Error = error; // a full disk: nothing of this change is in memory
                }
            }

            try
            {
                FileData.Flush(_file);
            }
            catch (IOException error)
            {
                batch.ForEach(change => change.Error ??= error);
            }

            freed.ForEach(_free.Push); // only after the sync: a slot is not reused while its old content might come back
            batch.ForEach(change => change.Complete());
        }
    }

    private Outcome Apply(Change change, List<long> freed)
    {
        var hash = change.Claim.Hash;
        var held = _table.HeldBy(hash);
        switch (change.Kind)
        {
            case ChangeKind.Join when _table.Find(hash) is null:
                return default;

            case ChangeKind.Add or ChangeKind.Join:
                var claim = held.Length == 0 ? change.Claim : change.Claim with { Mark = held[0].Claim.Mark, Size = held[0].Claim.Size, Type = ClaimTable.TypeOf(held, change.Claim.Type) };
                var slot = TakeSlot();
                WriteSlot(slot, claim);
                var older = ClaimTable.IndexOf(held, change.Claim.Owner);
                if (older >= 0)
                {
                    Erase(held[older].Slot);
                    freed.Add(held[older].Slot);
                }

                var isNew = _table.Find(hash) is null;
                _table.Put(new ClaimTable.Held(claim, slot));
                return new Outcome(_table.Find(hash) ?? BlobEntry.Of(claim), isNew, default, null);

            case ChangeKind.RemoveClaim:
                var at = ClaimTable.IndexOf(held, change.Claim.Owner);
                if (at < 0)
                {
                    return new Outcome(null, false, held.Length > 0 ? ClaimRemoval.NotOwner : ClaimRemoval.NoBlob, null);
                }

                var gone = Drop(hash, [held[at]], freed);
                return new Outcome(null, false, gone is null ? ClaimRemoval.Removed : ClaimRemoval.RemovedLast, gone);

            case ChangeKind.RemoveBlob:
                return new Outcome(null, false, default, Drop(hash, held, freed));

            default:
                var now = _table.Now;
                var ended = held.Where(one => one.Claim.ExpiresAt <= now).ToArray();
                return new Outcome(null, false, default, Drop(hash, ended, freed));
        }
    }

    /// <summary>Erases claims of one blob; where its bytes are when these were all.</summary>
    private BlobPlace? Drop(Bytes32 hash, ReadOnlySpan<ClaimTable.Held> removed, List<long> freed)
    {
        if (removed.IsEmpty)
        {
            return null;
        }

        foreach (var one in removed)
        {
            Erase(one.Slot);
            freed.Add(one.Slot);
        }

        return _table.Remove(hash, removed) ? new BlobPlace(hash, removed[0].Claim.Mark) : null;
    }

    private long TakeSlot()
    {
        if (_free.Count == 0)
        {
            // Zeros are really written, so that a full disk shows here and not when a slot is filled.
            RandomAccess.Write(_file, new byte[GrowthSlots * ClaimSlot.Size], _slots * ClaimSlot.Size);
            for (var slot = _slots + GrowthSlots - 1; slot >= _slots; slot--)
            {
                _free.Push(slot);
            }

            _slots += GrowthSlots;
        }

        return _free.Pop();
    }

    private void WriteSlot(long slot, in BlobClaim claim)
    {
        Span<byte> bytes = stackalloc byte[ClaimSlot.Size];
        ClaimSlot.Write(claim, bytes);
        RandomAccess.Write(_file, bytes, slot * ClaimSlot.Size);
    }

    private void Erase(long slot) => RandomAccess.Write(_file, FreeSlot, slot * ClaimSlot.Size);

    private enum ChangeKind
    {
        Add,
        Join,
        RemoveClaim,
        RemoveBlob,
        RemoveExpired,
    }

    private readonly record struct Outcome(BlobEntry? Entry, bool IsNew, ClaimRemoval Removal, BlobPlace? Gone);

    private sealed class Change(ChangeKind kind)
    {
        public ChangeKind Kind { get; } = kind;

        public BlobClaim Claim { get; init; }

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
