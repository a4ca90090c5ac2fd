using Marmot.Blossom.Storage;

namespace Marmot.Blossom.Index;

/// <summary>The slots of the embedded index on disk: free, used or damaged. One thread at a time.</summary>
/// <remarks>
/// A slot that is damaged is left as it is: not read, not used again, not erased, until the operator says so (<see cref="DropDamaged"/>). After a flush that
/// failed nothing is written any more, since what the file holds is then unknown.
/// </remarks>
internal sealed class SlotFile(IDiskFile file) : IDisposable
{
    private const int GrowthSlots = 4096; // 1 MiB
    private static readonly byte[] FreeSlot = new byte[ClaimSlot.Size];

    private readonly Stack<long> _free = new();
    private readonly List<long> _damaged = [];
    private long _slots;
    private ulong _sequence;
    private FlushFailedException? _failure;

    /// <summary>How many slots are neither free nor readable.</summary>
    public int Damaged => _damaged.Count;

    /// <summary>Reads the whole file; once, before anything is written.</summary>
    /// <param name="found">Gets every claim, with its slot and sequence.</param>
    public void Load(Action<ClaimTable.Held> found)
    {
        _slots = file.Length / ClaimSlot.Size;
        var buffer = new byte[GrowthSlots * ClaimSlot.Size];
        for (long first = 0; first < _slots; first += GrowthSlots)
        {
            var read = file.Read(buffer, first * ClaimSlot.Size);
            for (var i = 0; (i + 1) * ClaimSlot.Size <= read; i++)
            {
                var slot = first + i;
                var bytes = buffer.AsSpan(i * ClaimSlot.Size, ClaimSlot.Size);
                if (ClaimSlot.TryRead(bytes, out var claim, out var sequence))
                {
                    _sequence = Math.Max(_sequence, sequence);
                    found(new ClaimTable.Held(claim, slot, sequence));
                }
                else if (bytes.ContainsAnyExcept((byte)0))
                {
                    _damaged.Add(slot);
                }
                else
                {
                    _free.Push(slot);
                }
            }
        }
    }

    /// <summary>Writes a claim into a free slot. Durable after <see cref="Flush"/>.</summary>
    /// <exception cref="IOException">The disk is full or broken; nothing of the claim is left.</exception>
    public ClaimTable.Held Write(in BlobClaim claim)
    {
        ThrowIfFailed();
        var slot = TakeSlot();
        Span<byte> bytes = stackalloc byte[ClaimSlot.Size];
        ClaimSlot.Write(claim, ++_sequence, bytes);
        try
        {
            file.Write(bytes, slot * ClaimSlot.Size);
        }
        catch (IOException)
        {
            Discard(slot);
            throw;
        }

        return new ClaimTable.Held(claim, slot, _sequence);
    }

    /// <summary>Overwrites a slot with zeros. It may be used again only after a <see cref="Flush"/> and <see cref="Release"/>: until then its old content may
    /// come back.</summary>
    public void Erase(long slot)
    {
        ThrowIfFailed();
        file.Write(FreeSlot, slot * ClaimSlot.Size);
    }

    /// <summary>A slot that was erased and flushed is free.</summary>
    public void Release(long slot) => _free.Push(slot);

    /// <summary>What was written and erased before is durable.</summary>
    /// <exception cref="FlushFailedException">It may be or not, and nobody can tell.</exception>
    public void Flush()
    {
        ThrowIfFailed();
        try
        {
            file.Flush();
        }
        catch (IOException error)
        {
            _failure = new FlushFailedException(error);
            throw _failure;
        }
    }

    /// <summary>Gives up what stands in damaged slots. Returns how many there were.</summary>
    public int DropDamaged()
    {
        _damaged.ForEach(Erase);
        Flush();
        _damaged.ForEach(_free.Push);
        var dropped = _damaged.Count;
        _damaged.Clear();
        return dropped;
    }

    public void Dispose() => file.Dispose();

    private long TakeSlot()
    {
        if (_free.Count == 0)
        {
            // Zeros are really written, so that a full disk shows here and not when a slot is filled.
            file.Write(new byte[GrowthSlots * ClaimSlot.Size], _slots * ClaimSlot.Size);
            for (var slot = _slots + GrowthSlots - 1; slot >= _slots; slot--)
            {
                _free.Push(slot);
            }

            _slots += GrowthSlots;
        }

        return _free.Pop();
    }

    // What a failed write left would count as damage when the file is opened next.
    private void Discard(long slot)
    {
        try
        {
            file.Write(FreeSlot, slot * ClaimSlot.Size);
            _free.Push(slot);
        }
        catch (IOException)
        {
            // then it is damage
        }
    }

    private void ThrowIfFailed()
    {
        if (_failure is not null)
        {
            throw _failure;
        }
    }
}
