using System.Buffers.Binary;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Relay.Storage.Index;

/// <summary>What must not come back: events and slots that were deleted (NIP-09), and keys that vanished (NIP-62).</summary>
/// <param name="database">Where the index keeps them.</param>
internal sealed class Tombstones(uint database)
{
    /// <summary>NIP-09: deleted by its author, or a wrap by its recipient (NIP-59), or its slot up to a time.</summary>
    public bool IsDeleted(in LmdbTransaction txn, EventRecord record)
    {
        if (record.Kind is EventKinds.Deletion or EventKinds.Vanish)
        {
            return false; // deleting a deletion has no effect
        }

        Span<byte> key = stackalloc byte[IndexKeys.DeletedEventSize];
        IndexKeys.WriteDeletedEvent(key, record.Id, record.PublicKey);
        if (txn.TryGet(database, key, out _))
        {
            return true;
        }

        if (record.Kind == EventKinds.GiftWrap)
        {
            foreach (var tag in record.Tags)
            {
                BinaryPrimitives.WriteUInt128BigEndian(key[(1 + IndexKeys.ShortSize)..], tag.Value);
                if (tag.Letter == (byte)'p' && txn.TryGet(database, key, out _))
                {
                    return true;
                }
            }
        }

        if (record.Address is not { } address)
        {
            return false;
        }

        IndexKeys.WriteDeletedSlot(key, address);
        return txn.TryGet(database, key[..IndexKeys.DeletedSlotSize], out var until)
            && record.CreatedAt <= BinaryPrimitives.ReadInt64BigEndian(until);
    }

    /// <summary>NIP-62: of a key that vanished later, or a wrap addressed to one.</summary>
    public bool IsVanished(in LmdbTransaction txn, EventRecord record)
    {
        if (record.Kind == EventKinds.Vanish)
        {
            return false;
        }

        Span<byte> key = stackalloc byte[IndexKeys.DeletedSlotSize];
        IndexKeys.WriteVanished(key, record.PublicKey.Span);
        if (txn.TryGet(database, key, out var until) && record.CreatedAt <= BinaryPrimitives.ReadInt64BigEndian(until))
        {
            return true;
        }

        if (record.Kind != EventKinds.GiftWrap)
        {
            return false;
        }

        foreach (var tag in record.Tags)
        {
            if (tag.Letter == (byte)'p')
            {
                BinaryPrimitives.WriteUInt128BigEndian(key[1..], tag.Value);
                if (txn.TryGet(database, key, out until) && record.CreatedAt <= BinaryPrimitives.ReadInt64BigEndian(until))
                {
                    return true;
                }
            }
        }

        return false;
    }

    public void AddEvent(in LmdbTransaction txn, in Bytes32 id, in Bytes32 by, long at)
    {
        Span<byte> key = stackalloc byte[IndexKeys.DeletedEventSize];
        Span<byte> time = stackalloc byte[8];
        IndexKeys.WriteDeletedEvent(key, id, by);
        BinaryPrimitives.WriteInt64BigEndian(time, at);
        txn.Put(database, key, time);
    }

    public void AddSlot(in LmdbTransaction txn, UInt128 address, long until)
    {
        Span<byte> key = stackalloc byte[IndexKeys.DeletedSlotSize];
        IndexKeys.WriteDeletedSlot(key, address);
        Extend(txn, key, until);
    }

    public void AddVanished(in LmdbTransaction txn, in Bytes32 author, long until)
    {
        Span<byte> key = stackalloc byte[IndexKeys.DeletedSlotSize];
        IndexKeys.WriteVanished(key, author.Span);
        Extend(txn, key, until);
    }

    private void Extend(in LmdbTransaction txn, scoped ReadOnlySpan<byte> key, long until)
    {
        if (!txn.TryGet(database, key, out var before) || BinaryPrimitives.ReadInt64BigEndian(before) < until)
        {
            Span<byte> time = stackalloc byte[8];
            BinaryPrimitives.WriteInt64BigEndian(time, until);
            txn.Put(database, key, time);
        }
    }
}
