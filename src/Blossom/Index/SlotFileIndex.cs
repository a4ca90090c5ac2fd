using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Marmot.Blossom.Storage;
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
        FileSync.Directory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        _loop = Task.Run(WriteAsync);
    }

    public BlobTotals Totals => _table.Totals;

    public ValueTask<BlobEntry?> FindAsync(Bytes32 hash, CancellationToken cancellationToken) => ValueTask.FromResult(_table.Find(hash));

    public async ValueTask<bool> AddAsync(BlobClaim claim, CancellationToken cancellationToken) =>
        await SubmitAsync(new Change(ChangeKind.Add) { Claim = claim }, cancellationToken) == 1;

    public async ValueTask<ClaimRemoval> RemoveAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancellationToken) =>
        (ClaimRemoval)await SubmitAsync(new Change(ChangeKind.RemoveClaim) { Claim = new BlobClaim { Hash = hash, Owner = owner } }, cancellationToken);

    public async ValueTask<bool> RemoveBlobAsync(Bytes32 hash, CancellationToken cancellationToken) =>
        await SubmitAsync(new Change(ChangeKind.RemoveBlob) { Claim = new BlobClaim { Hash = hash } }, cancellationToken) == 1;

    public async ValueTask<bool> RemoveExpiredAsync(Bytes32 hash, CancellationToken cancellationToken) =>
        await SubmitAsync(new Change(ChangeKind.RemoveExpired) { Claim = new BlobClaim { Hash = hash } }, cancellationToken) == 1;

    public ValueTask<IReadOnlyList<Bytes32>> FindExpiredAsync(int limit, CancellationToken cancellationToken) =>
        ValueTask.FromResult<IReadOnlyList<Bytes32>>(_table.TakeExpired(limit));

    public ValueTask<IReadOnlyList<BlobEntry>> ListAsync(Bytes32 owner, Bytes32? after, int limit, CancellationToken cancellationToken) =>
        ValueTask.FromResult<IReadOnlyList<BlobEntry>>(_table.List(owner, after, limit));

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

    private async ValueTask<int> SubmitAsync(Change change, CancellationToken cancellationToken)
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
                FileSync.Data(_file);
            }
            catch (IOException error)
            {
                batch.ForEach(change => change.Error ??= error);
            }

            freed.ForEach(_free.Push); // only after the sync: a slot is not reused while its old content might come back
            batch.ForEach(change => change.Complete());
        }
    }

    private int Apply(Change change, List<long> freed)
    {
        var hash = change.Claim.Hash;
        var held = _table.HeldBy(hash);
        switch (change.Kind)
        {
            case ChangeKind.Add:
                var slot = TakeSlot();
                WriteSlot(slot, change.Claim);
                var older = ClaimTable.IndexOf(held, change.Claim.Owner);
                if (older >= 0)
                {
                    Erase(held[older].Slot);
                    freed.Add(held[older].Slot);
                }

                var isNew = _table.Find(hash) is null;
                _table.Put(new ClaimTable.Held(change.Claim, slot));
                return isNew ? 1 : 0;

            case ChangeKind.RemoveClaim:
                var at = ClaimTable.IndexOf(held, change.Claim.Owner);
                return (int)(at >= 0
                    ? Drop(hash, [held[at]], freed) ? ClaimRemoval.RemovedLast : ClaimRemoval.Removed
                    : held.Length > 0 ? ClaimRemoval.NotOwner : ClaimRemoval.NoBlob);

            case ChangeKind.RemoveBlob:
                return held.Length > 0 && Drop(hash, held, freed) ? 1 : 0;

            default:
                var now = _table.Now;
                var ended = held.Where(one => one.Claim.ExpiresAt <= now).ToArray();
                return ended.Length > 0 && Drop(hash, ended, freed) ? 1 : 0;
        }
    }

    private bool Drop(Bytes32 hash, ReadOnlySpan<ClaimTable.Held> removed, List<long> freed)
    {
        foreach (var one in removed)
        {
            Erase(one.Slot);
            freed.Add(one.Slot);
        }

        return _table.Remove(hash, removed);
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
        RemoveClaim,
        RemoveBlob,
        RemoveExpired,
    }

    private sealed class Change(ChangeKind kind)
    {
        public ChangeKind Kind { get; } = kind;

        public BlobClaim Claim { get; init; }

        public TaskCompletionSource<int> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Result { get; set; }

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
